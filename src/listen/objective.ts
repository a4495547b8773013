/**
 * What a client asks for in header fields: when its first token should come, and how much it
 * matters. Pure; any thread. Most requests say nothing, and cost nothing then.
 */
import { RequestFault } from '../errors.ts';
import type { Exchange } from './exchange.ts';

export interface Objective {
  /** `null`: the configured objective. */
  readonly sloTtftMs: number | null;
  /** Lower is more important, as in vLLM. `null`: what the body says, 0 if it says nothing. */
  readonly priority: number | null;
}

const sloFields = new Set(['x-slo-ttft-ms', 'x-llm-d-slo-ttft-ms', 'x-sgl-ttft-slo-ms']);
const priorityFields = new Set(['x-smg-priority', 'x-llm-d-inference-objective']);

/** The classes of Shepherd Model Gateway, from the most important one down. */
const classes = new Map([
  ['system', -2],
  ['interactive', -1],
  ['default', 0],
  ['bulk', 1],
]);
/** Objectives of llm-d are named by whoever runs it: names that we do not know are the default. */
const priorityDefault = 0;

const nothingAsked: Objective = { sloTtftMs: null, priority: null };
const letterX = 120;

/** Throws RequestFault `invalid_header`. Of several fields of one meaning the first counts. */
export function objectiveOf({ headers }: Pick<Exchange, 'headers'>): Objective {
  let sloTtftMs: number | null = null;
  let priority: number | null = null;
  for (let index = 0; index < headers.length; index += 2) {
    const name = headers[index]!;
    if (name.charCodeAt(0) !== letterX) continue;
    if (sloFields.has(name)) {
      const asked = millisecondsOf(name, headers[index + 1]!);
      sloTtftMs ??= asked;
    } else if (priorityFields.has(name)) {
      priority ??= priorityOf(headers[index + 1]!);
    }
  }
  return sloTtftMs === null && priority === null ? nothingAsked : { sloTtftMs, priority };
}

function millisecondsOf(name: string, text: string): number {
  const value = /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  const message = `\`${name}\` must be a positive number of milliseconds`;
  throw new RequestFault('invalid_header', message, { param: name });
}

function priorityOf(text: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  return classes.get(text.toLowerCase()) ?? priorityDefault;
}
