/**
 * Which of the requests that wait for an instance move to their other candidate (algorithm.md
 * section 5): a pure function of a snapshot, for the compute pool and the simulator. No timers, no
 * state, never on the path of a request; it moves nothing itself.
 *
 * Expected times are those of native/core/estimate.h: at the instance behind what is served before,
 * at the other candidate behind all that is pending there. Both count from now on, and what a
 * request has waited already counts towards its deadline.
 */
import {
  type InstanceLoad,
  type Move,
  type QueueSnapshot,
  waitingAt,
  waitingWords,
} from '../core/queue-snapshot.ts';

/** A move must bring the first token forward by more: estimates are no better, and none returns. */
export const gainMsMin = 20;
/** Of one event: the plan is old after a few, and a queue emptied at once fills another. */
export const movesMax = 8;

interface Request {
  readonly place: number;
  readonly sequence: number;
  readonly deadlineMs: number;
  readonly promptTokens: number;
  readonly uncachedTokens: number;
  /** Its other candidate; `null`: there is none that it may move to. */
  readonly target: Target | null;
  readonly spareUncachedTokens: number;
  /** Uncached tokens that come before it. */
  aheadTokens: number;
  isLeaving: boolean;
}

interface Target {
  readonly instance: InstanceLoad;
  /** With what the batch has already moved there. */
  pendingTokens: number;
}

/** The moves of one event, the most beneficial first; often none. */
export function planRebalance(snapshot: QueueSnapshot): Move[] {
  const { slot, nowMs, instances } = snapshot;
  const source = instances.find((instance) => instance.slot === slot)!;
  const queue = readQueue(snapshot, source);
  const hereMs = (request: Request) =>
    expectedMs(source, request.aheadTokens, request.uncachedTokens, request.promptTokens);
  const isInTimeHere = (request: Request) => nowMs + hereMs(request) <= request.deadlineMs;
  const thereMs = ({ target, spareUncachedTokens, promptTokens }: Request) =>
    expectedMs(target!.instance, target!.pendingTokens, spareUncachedTokens, promptTokens);
  const gainMs = (request: Request) => hereMs(request) - thereMs(request);
  const mayMove = (request: Request) =>
    gainMs(request) > gainMsMin && nowMs + thereMs(request) <= request.deadlineMs;

  // Whoever may not move now may not later in the batch: it only becomes sooner here, later there.
  const byGain = queue
    .filter((request) => request.target !== null && mayMove(request))
    .map((request) => ({ request, gain: gainMs(request) }))
    .sort((one, other) => other.gain - one.gain);
  const moves: Move[] = [];
  for (const { request } of byGain) {
    if (moves.length === movesMax) break;
    if (queue.every((each) => each.isLeaving || isInTimeHere(each))) break;
    if (!mayMove(request)) continue;
    leave(queue, request);
    const { place, sequence, target } = request;
    moves.push({ place, sequence, from: slot, to: target!.instance.slot });
  }
  return moves;
}

function readQueue({ rows, instances, slot }: QueueSnapshot, source: InstanceLoad): Request[] {
  const targets = new Map<number, Target>();
  for (const instance of instances) {
    if (!instance.isAvailable || instance.slot === slot) continue;
    const pendingTokens = instance.prefillingTokens + instance.queuedTokens;
    targets.set(instance.slot, { instance, pendingTokens });
  }
  let aheadTokens = source.prefillingTokens;
  return Array.from({ length: rows.length / waitingWords }, (_, index) => {
    const word = (field: keyof typeof waitingAt) => rows[index * waitingWords + waitingAt[field]]!;
    const request = {
      place: word('place'),
      sequence: word('sequence'),
      deadlineMs: word('deadlineMs'),
      promptTokens: word('promptTokens'),
      uncachedTokens: word('uncachedTokens'),
      target: word('isMoved') === 1 ? null : (targets.get(word('spareSlot')) ?? null),
      spareUncachedTokens: word('spareUncachedTokens'),
      aheadTokens,
      isLeaving: false,
    };
    aheadTokens += request.uncachedTokens;
    return request;
  });
}

/** It goes from the queue here to the end of that of its target. */
function leave(queue: readonly Request[], request: Request): void {
  request.isLeaving = true;
  request.target!.pendingTokens += request.spareUncachedTokens;
  for (const behind of queue.slice(queue.indexOf(request) + 1)) {
    behind.aheadTokens -= request.uncachedTokens;
  }
}

/** As `estimateTtftMs` of native/core/estimate.h. */
function expectedMs(
  { speed, running }: InstanceLoad,
  aheadTokens: number,
  ownTokens: number,
  promptTokens: number,
): number {
  return (
    speed.baseMs +
    speed.perTokenMs * (aheadTokens + ownTokens) +
    speed.perTokenContextMs * ownTokens * (promptTokens - ownTokens / 2) +
    speed.perRunningMs * running
  );
}
