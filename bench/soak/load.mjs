/**
 * Sends the mix to a router, at a given rate whatever it answers (`atRate`) or as fast as it
 * answers (`closedLoop`), and counts what came of it. One thread.
 */
import { Agent, request as httpRequest } from 'node:http';
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { build } from 'hdr-histogram-js';
import { faultOf, kinds, Mix, randomFrom } from './mix.mjs';

/**
 * Well below the router's own idle limit: no request may meet a connection that is being closed.
 */
const idleMs = 4_000;
/** A request that has not ended by then never will. */
const requestMsMax = 60_000;
const faultsKept = 20;
const slowReaderPauseMs = 4_000;
/** Arrivals sent without a look at the sockets, when late. */
const burstMax = 32;

export class Load {
  /** By kind: sent, answered as they must be, left by the client before that. */
  counts = Object.fromEntries(kinds.map((kind) => [kind, { sent: 0, good: 0, left: 0 }]));
  /** The first of all others. */
  faults = [];
  faultCount = 0;
  /** Were due while too many were in flight: the load was not what it says. */
  notSent = 0;
  inFlight = 0;
  lateUs = build();
  firstByteUs = build();
  #url;
  #mix;
  #random;
  #agent = new Agent({ keepAlive: true, timeout: idleMs });

  constructor(url, seed) {
    this.#url = url;
    this.#mix = new Mix(seed);
    this.#random = randomFrom(seed + 1);
  }

  get sent() {
    return Object.values(this.counts).reduce((sum, { sent }) => sum + sent, 0);
  }

  /** Poisson arrivals. */
  async atRate(perSecond, seconds, inFlightMax) {
    const startMs = performance.now();
    let dueMs = 0;
    for (let burst = 0; dueMs < seconds * 1_000; ) {
      const lateMs = performance.now() - startMs - dueMs;
      if (lateMs < 0) {
        await wait(Math.ceil(-lateMs));
        burst = 0;
        continue;
      }
      this.lateUs.recordValue(Math.round(lateMs * 1_000));
      if (this.inFlight >= inFlightMax) this.notSent += 1;
      else void this.#send();
      burst += 1;
      if (burst % burstMax === 0) await turn();
      dueMs -= (Math.log(1 - this.#random()) * 1_000) / perSecond;
    }
  }

  /** Returns what ended, a second. */
  async closedLoop(clients, seconds) {
    const startMs = performance.now();
    const isOver = () => performance.now() - startMs >= seconds * 1_000;
    let ended = 0;
    const client = async () => {
      while (!isOver()) {
        await this.#send();
        if (!isOver()) ended += 1;
      }
    };
    await Promise.all(Array.from({ length: clients }, client));
    return ended / seconds;
  }

  /** Resolves when all requests have ended, which their own limit ensures. */
  async untilEnded() {
    while (this.inFlight > 0) await wait(20);
  }

  /** Closes every connection. */
  close() {
    this.#agent.destroy();
  }

  async #send() {
    const wanted = this.#mix.next();
    const counts = this.counts[wanted.kind];
    counts.sent += 1;
    this.inFlight += 1;
    const { left, fault, firstByteMs } = await this.#call(wanted);
    this.inFlight -= 1;
    if (wanted.kind === 'unary' || wanted.kind === 'stream') {
      this.firstByteUs.recordValue(Math.round(firstByteMs * 1_000));
    }
    if (left) counts.left += 1;
    else if (fault === null) counts.good += 1;
    else this.#note(wanted, fault);
  }

  #note({ kind, path }, fault) {
    this.faultCount += 1;
    if (this.faults.length === faultsKept) return;
    this.faults.push({ at: new Date().toISOString(), kind, path, fault });
  }

  #call(wanted) {
    return new Promise((resolve) => {
      const startMs = performance.now();
      let incoming = null;
      let text = '';
      let left = false;
      let firstByteMs = 0;
      let cause = 'the connection closed without an answer';
      const { method, path, body } = wanted;
      const headers = body === null ? {} : { 'content-type': 'application/json' };
      const outgoing = httpRequest(this.#url + path, { method, headers, agent: this.#agent });
      const timer = setTimeout(() => outgoing.destroy(new Error('no end in time')), requestMsMax);
      const leave = () => {
        left = true;
        outgoing.destroy();
      };
      let leaveTimer = null;
      const end = () => {
        clearTimeout(timer);
        clearTimeout(leaveTimer);
        const { statusCode: status = null, complete = false } = incoming ?? {};
        const fault = incoming === null ? cause : faultOf(wanted, { status, complete, text });
        resolve({ left, fault, firstByteMs });
      };
      outgoing.on('response', (response) => {
        incoming = response.setEncoding('utf8');
        response.on('data', (piece) => {
          if (text === '') {
            firstByteMs = performance.now() - startMs;
            if (wanted.kind === 'leavesAfterFirstToken') leave();
            if (wanted.kind === 'slowReader') pauseFor(response, slowReaderPauseMs);
          }
          text += piece;
        });
        // A broken answer ends with an error and then closes: the close is enough.
        response.on('error', () => response.destroy()).on('close', end);
      });
      outgoing.on('error', (error) => {
        cause = String(error);
        if (incoming === null) end();
      });
      outgoing.end(body);
      if (wanted.kind !== 'leavesBeforeFirstToken') return;
      outgoing.once('finish', () => {
        leaveTimer = setTimeout(leave, wanted.leaveAfterMs);
      });
    });
  }
}

function pauseFor(response, ms) {
  response.pause();
  setTimeout(() => response.resume(), ms);
}
