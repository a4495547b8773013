/**
 * When a run is void: its figure is then no figure and is shown nowhere. The rules of the referee.
 * Pure.
 */

/** What the load saw of one run, and what the instances behind the contender confirm. */
export interface RunCounts {
  /** Complete answers. */
  readonly answers: number;
  /** Answers that were not 2xx. */
  readonly failed: number;
  /** Connections refused, reset, timed out. */
  readonly socketErrors: number;
  /** Requests the instances served in the same time. */
  readonly served: number;
}

/** Share of the answers that the instances must confirm; the rest is in flight at the edges. */
const confirmedShareMin = 0.98;

/** Why the run is void; `null`: it is valid. */
export function voidReason({ answers, failed, socketErrors, served }: RunCounts): string | null {
  if (answers === 0) return 'no answer at all';
  if (failed > 0) return `${failed} of ${answers} answers were not 2xx`;
  if (socketErrors > 0) return `${socketErrors} socket errors`;
  if (served < answers * confirmedShareMin) {
    return `${answers} answers, but the instances served only ${served}`;
  }
  return null;
}

/** What the engines sent must have come out at the other end. */
export function eventsVoidReason(arrived: number, sent: number): string | null {
  if (arrived >= sent * confirmedShareMin) return null;
  return `the engines sent ${sent} events, but only ${arrived} arrived`;
}

/** A generator that sends late measures itself. */
export const latenessP99MsMax = 1;

export function lateReason(latenessP99Ms: number): string | null {
  if (latenessP99Ms <= latenessP99MsMax) return null;
  return `the generator fell behind: p99 of its lateness ${latenessP99Ms.toFixed(2)} ms, at most ${latenessP99MsMax}`;
}

/** Reads what wrk prints. Throws if there is no result in it. */
export function parseWrk(
  output: string,
): Omit<RunCounts, 'served'> & { p50Ms: number; p99Ms: number } {
  const number = (pattern: RegExp) => Number(pattern.exec(output)?.[1] ?? 0);
  if (!/requests in /.test(output)) throw new Error(`wrk gave no result: ${output.trim()}`);
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(
    output,
  );
  return {
    answers: number(/(\d+) requests in /),
    failed: number(/Non-2xx or 3xx responses: (\d+)/),
    socketErrors: (sockets ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0),
    p50Ms: latencyMs(output, '50'),
    p99Ms: latencyMs(output, '99'),
  };
}

const unitMs: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

function latencyMs(output: string, percent: string): number {
  const match = new RegExp(`^ *${percent}% +([\\d.]+)(us|ms|s|m) *$`, 'm').exec(output);
  if (match === null) throw new Error(`wrk printed no latency at ${percent} %: ${output.trim()}`);
  return Number(match[1]) * unitMs[match[2]!]!;
}
