/**
 * Reads Prometheus' text format (0.0.4), as far as a few named metrics need it: names match whole,
 * what else a line may be is passed over, and a line of a wanted name that cannot be read is a
 * fault, because half of a scrape must not pass for all of it. Pure; any thread.
 */

export interface MetricSample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** Samples by metric name; a name that did not occur is absent. */
export type MetricSamples = ReadonlyMap<string, readonly MetricSample[]>;

/** The text is not what an engine's metrics look like. */
export class MetricsFault extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'MetricsFault';
  }
}

/** Samples of the wanted names together: an engine has one for each of its ranks, not thousands. */
const samplesMax = 4_096;

/** Samples whose value is NaN say nothing and are left out. Throws MetricsFault. */
export function readSamples(text: string, wanted: ReadonlySet<string>): MetricSamples {
  const samples = new Map<string, MetricSample[]>();
  let count = 0;
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    const name = nameAt(text, start, end);
    if (wanted.has(name)) {
      count += 1;
      if (count > samplesMax) throw new MetricsFault(`more than ${samplesMax} samples`);
      const sample = readSample(text.slice(start + name.length, end), name);
      const list = samples.get(name);
      if (list !== undefined) list.push(sample);
      else samples.set(name, [sample]);
    }
    start = end + 1;
  }
  for (const [name, list] of samples) {
    const told = list.filter(({ value }) => !Number.isNaN(value));
    if (told.length > 0) samples.set(name, told);
    else samples.delete(name);
  }
  return samples;
}

/** What stands before the labels or the value; empty for a comment or an empty line. */
function nameAt(text: string, start: number, end: number): string {
  let at = start;
  while (at < end && isNameCode(text.charCodeAt(at))) at += 1;
  return text.slice(start, at);
}

/** Letters, digits, `_` and `:`. */
function isNameCode(code: number): boolean {
  return (
    (code >= 97 && code <= 122) ||
    (code >= 48 && code <= 58) ||
    (code >= 65 && code <= 90) ||
    code === 95
  );
}

/** Labels in braces, or none; then the value; then perhaps a time, which is not of interest. */
const restOfLine =
  /^(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})?[ \t]*([^\s]+)(?:[ \t]+-?\d+)?[ \t]*\r?$/;
const label = /[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|$)/y;

function readSample(rest: string, name: string): MetricSample {
  const [, labelsText = '', valueText] = restOfLine.exec(rest) ?? [];
  if (valueText === undefined) throw new MetricsFault(`${name}: the line cannot be read`);
  const value = numberFrom(valueText);
  if (value === null) throw new MetricsFault(`${name}: ${valueText} is not a value`);
  return { value, labels: labelsFrom(labelsText, name) };
}

/** A number that is not negative; NaN; otherwise null. No metric read here can be below zero. */
function numberFrom(text: string): number | null {
  if (text === 'NaN') return Number.NaN;
  const isNumber = /^\+?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text);
  const value = Number(text);
  return isNumber && Number.isFinite(value) ? value : null;
}

function labelsFrom(text: string, name: string): Record<string, string> {
  const labels: Record<string, string> = Object.create(null);
  label.lastIndex = 0;
  while (label.lastIndex < text.length) {
    const match = label.exec(text);
    if (match === null) throw new MetricsFault(`${name}: the labels cannot be read`);
    labels[match[1]!] = match[2]!.replace(/\\(.)/g, (_, code) => (code === 'n' ? '\n' : code));
  }
  return labels;
}
