/** Where requests of a run waited, and in what order they were sent. Pure. */
import { percentile } from '../../dist/replay/tally.js';

/** The router's clock starts when it has read a request: so much later than that was due, or less. */
const slackMs = 1;

/**
 * The order `deadline` (native/core/queues.h), whichever router a request waited in: what can be in
 * time goes before what is late, of two in time the cheaper, of two late ones the older. Judged
 * over all pairs that waited at the same time for the instance that they both came to, when the
 * first of them was sent: for each of the three rules the pairs and the share that kept it.
 * `outcomes` need `queueMs` and `usage`; times are real.
 */
export function orderOf(outcomes, { sloTtftMs, usPerToken, timeScale }) {
  const waits = outcomes
    .filter(({ kind, queueMs, usage }) => kind === 'completed' && queueMs !== null && usage)
    .map(({ instance, dueMs, sendLateMs, queueMs, usage }) => {
      const fromMs = dueMs + sendLateMs;
      const uncached = usage.promptTokens - usage.cachedTokens;
      const lateFromMs = dueMs + (sloTtftMs - (uncached * usPerToken) / 1000) / timeScale;
      return { instance, fromMs, sentMs: fromMs + queueMs, lateFromMs, uncached };
    })
    .sort((a, b) => a.sentMs - b.sentMs);
  const inTime = { pairs: 0, kept: 0 };
  const cheaper = { pairs: 0, kept: 0 };
  const older = { pairs: 0, kept: 0 };
  const add = (rule, isKept) => {
    rule.pairs += 1;
    if (isKept) rule.kept += 1;
  };
  for (const [at, first] of waits.entries()) {
    const isLate = ({ lateFromMs }) => first.sentMs > lateFromMs;
    for (const second of waits.slice(at + 1)) {
      const isPair = second.instance === first.instance && second.fromMs < first.sentMs - slackMs;
      // Sent together they are in whatever order.
      if (!isPair || second.sentMs <= first.sentMs + slackMs) continue;
      if (isLate(first) !== isLate(second)) add(inTime, !isLate(first));
      else if (isLate(first)) add(older, first.fromMs <= second.fromMs);
      else add(cheaper, first.uncached <= second.uncached);
    }
  }
  return {
    inTimeFirst: shareOf(inTime),
    cheaperFirst: shareOf(cheaper),
    olderFirst: shareOf(older),
  };
}

/** `keptShare` `null`: there was no such pair. */
function shareOf({ pairs, kept }) {
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
