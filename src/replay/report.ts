import type { ReplayOptions } from './options.ts';
import { type Measurements, sendLateShareMax } from './tally.ts';

/**
 * What a replay leaves behind: the report as data and as a table. Pure; main thread.
 */

export interface ReplayReport extends Measurements {
  /** True if the generator itself was late, so that nothing here says much about the router. */
  readonly void: boolean;
  readonly voidReason: string | null;
  /** True if the run was stopped before its end. */
  readonly interrupted: boolean;
  /** Real seconds from the first due moment to the last outcome. */
  readonly wallSeconds: number;
  readonly settings: ReplayOptions;
}

export interface RunFacts {
  readonly interrupted: boolean;
  readonly connectionsMaxReached: boolean;
  readonly wallSeconds: number;
}

export function makeReport(
  measurements: Measurements,
  facts: RunFacts,
  settings: ReplayOptions,
): ReplayReport {
  const voidReason = findVoidReason(measurements, facts, settings);
  return {
    ...measurements,
    void: voidReason !== null,
    voidReason,
    interrupted: facts.interrupted,
    wallSeconds: facts.wallSeconds,
    settings,
  };
}

/** 0 as planned, 3 void, 130 interrupted. */
export function replayExitCode(report: ReplayReport): number {
  if (report.interrupted) return 130;
  return report.void ? 3 : 0;
}

function findVoidReason(
  { sendLateMs, requests }: Measurements,
  facts: RunFacts,
  { connectionsMax }: ReplayOptions,
): string | null {
  if (requests === 0 || sendLateMs.p99 === null) return 'no request has an outcome';
  if (sendLateMs.p99 <= sendLateMs.limit) return null;
  const cause = facts.connectionsMaxReached
    ? `all ${connectionsMax} connections were in use: raise --connections-max or lower --speed`
    : 'the generator did not keep its schedule: lower --speed or leave it more CPU';
  return (
    `the p99 of send lateness, ${sendLateMs.p99.toFixed(1)} ms, exceeds ` +
    `${sendLateShareMax * 100} % of the scaled SLO, ${sendLateMs.limit.toFixed(1)} ms; ${cause}`
  );
}

/** The report for a terminal. */
export function formatReport(report: ReplayReport): string {
  const { settings, ttftMs, sendLateMs } = report;
  const ttfts = [ttftMs.p50, ttftMs.p90, ttftMs.p99].map(formatMs).join(' / ');
  const lines = [
    `replay of ${settings.trace} on ${settings.url}, ${report.wallSeconds.toFixed(1)} s`,
    `TTFT in unscaled milliseconds: measured from the due moment, x speed ${settings.speed}`,
    '',
    row('requests', String(report.requests)),
    row('errors (not 2xx)', String(report.errors)),
    row('lost (no complete answer)', String(report.lost)),
    row(`TTFT <= ${formatMs(settings.sloTtftMs)} ms`, formatShare(report.attainment)),
    row('TTFT p50 / p90 / p99', ttfts),
    row('prompt tokens cached', formatShare(report.hitRatio)),
    row(
      'send lateness p99',
      `${sendLateMs.p99?.toFixed(1) ?? '-'} ms real, at most ${sendLateMs.limit.toFixed(1)}`,
    ),
  ];
  if (report.abandoned > 0) lines.push(row('abandoned', String(report.abandoned)));
  for (const [reason, count] of Object.entries(report.failures)) {
    lines.push(row(`failed: ${reason}`, String(count)));
  }
  for (const [url, { requests, cachedShare }] of Object.entries(report.perInstance)) {
    lines.push(row(url, `${requests} completed, ${formatShare(cachedShare)} cached`));
  }
  if (report.interrupted) lines.push('', 'INTERRUPTED: the requests in flight are left out');
  if (report.voidReason !== null) lines.push('', `VOID: ${report.voidReason}`);
  return `${lines.join('\n')}\n`;
}

function row(name: string, value: string): string {
  return `  ${name.padEnd(30)} ${value}`;
}

function formatMs(ms: number | null): string {
  return ms === null ? '-' : Math.round(ms).toLocaleString('en-US');
}

function formatShare(share: number | null): string {
  return share === null ? 'not told' : `${(share * 100).toFixed(1)} %`;
}
