/**
 * The log: one line an event, to standard error, as JSON or as text. Each thread makes its own;
 * lines are written whole and at once, so the last one before an exit is not lost.
 */
import pino, { type Logger } from 'pino';

export type Log = Logger;

const standardError = 2;

export function createLog(options: { level: string; json: boolean; thread: string }): Log {
  // Not `process.stderr`: in an I/O thread that is a message to main, and an exit would lose it.
  const output = pino.destination({ dest: standardError, sync: true });
  const textOutput = { write: (json: string) => output.write(textLine(json)) };
  const base = { thread: options.thread };
  return pino({ level: options.level, base }, options.json ? output : textOutput);
}

/** Pino's JSON as a line for a person. */
function textLine(json: string): string {
  const { level, time, thread, msg, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const when = new Date(time as number).toISOString();
  const label = (pino.levels.labels[level as number] ?? '?').toUpperCase();
  const fields = Object.entries(rest).map(([name, value]) => `${name}=${fieldText(value)}`);
  return `${[when, label, `[${thread}]`, msg, ...fields].join(' ')}\n`;
}

function fieldText(value: unknown): string {
  if (typeof value === 'string') return /[\s"=]/.test(value) ? JSON.stringify(value) : value;
  return JSON.stringify(value);
}
