/** Where requests of a run waited, and whether the one that was due first was sent first. Pure. */
import { percentile } from '../../dist/replay/tally.js';

/** The router's clock starts when it has read a request: so much later than that was due, or less. */
const slackMs = 1;

/**
 * The order of deadlines, which with one objective for all is that of arrival. Of all pairs that
 * waited for the instance that they both came to, at some moment both of them, and of which the
 * first could still be in time when one of the two was sent: the share that was sent in that order.
 * `outcomes` need `queueMs` and `usage`; times are real.
 */
export function orderOf(outcomes, { sloTtftMs, usPerToken, timeScale }) {
  const waits = outcomes
    .filter(({ kind, queueMs, usage }) => kind === 'completed' && queueMs !== null && usage)
    .map(({ instance, dueMs, sendLateMs, queueMs, usage }) => {
      const fromMs = dueMs + sendLateMs;
      const uncached = usage.promptTokens - usage.cachedTokens;
      const lateFromMs = dueMs + (sloTtftMs - (uncached * usPerToken) / 1000) / timeScale;
      return { instance, fromMs, sentMs: fromMs + queueMs, lateFromMs };
    })
    .sort((a, b) => a.fromMs - b.fromMs);
  let pairs = 0;
  let kept = 0;
  for (const [at, first] of waits.entries()) {
    for (const second of waits.slice(at + 1)) {
      if (second.fromMs >= first.sentMs - slackMs) break;
      if (second.instance !== first.instance) continue;
      if (Math.min(first.sentMs, second.sentMs) >= first.lateFromMs) continue;
      pairs += 1;
      if (second.sentMs >= first.sentMs - slackMs) kept += 1;
    }
  }
  return { pairs, keptShare: pairs === 0 ? null : kept / pairs };
}

/** In the engines' own milliseconds: until it was sent, and from then to its first token. */
export function waitsOf(outcomes, { timeScale }) {
  const completed = outcomes.filter(
    ({ kind, queueMs }) => kind === 'completed' && queueMs !== null,
  );
  const scaled = (ms) => {
    const ascending = ms.toSorted((a, b) => a - b);
    return {
      p50: percentile(ascending, 50) * timeScale,
      p90: percentile(ascending, 90) * timeScale,
    };
  };
  return {
    queueMs: scaled(completed.map(({ queueMs }) => queueMs)),
    engineMs: scaled(
      completed.map(({ ttftMs, sendLateMs, queueMs }) => ttftMs - sendLateMs - queueMs),
    ),
  };
}
