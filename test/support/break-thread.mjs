/**
 * Preloaded into every thread of a router (`NODE_OPTIONS=--import`): from the first chat on, what
 * BREAK names throws in the I/O thread that serves it, as a broken invariant would. `main` throws
 * in the main thread on SIGUSR2.
 */
import { isMainThread } from 'node:worker_threads';
import { Core } from '../../dist/core/native.js';
import { Waiting } from '../../dist/waiting.js';

const name = process.env.BREAK;

function fail() {
  throw new Error('broken on purpose');
}

const place = Core.prototype.place;
const actions = {
  place: fail,
  firstToken: () => {
    Core.prototype.firstToken = fail;
  },
  end: () => {
    Core.prototype.end = fail;
  },
  sweep: () => {
    Waiting.prototype.sweep = fail;
  },
  rejection: () => {
    void Promise.reject(new Error('broken on purpose'));
  },
};

if (isMainThread) {
  if (name === 'main') process.on('SIGUSR2', fail);
} else if (Object.hasOwn(actions, name)) {
  Core.prototype.place = function breaking(body, kind, nowMs, objective) {
    if (kind === 'chat') actions[name]();
    return place.call(this, body, kind, nowMs, objective);
  };
}
