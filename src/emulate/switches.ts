/**
 * Owns the names and the reading of fault switches, from JSON (the control route) and from text
 * (the command line). Pure; any thread. What they do is done in `server.ts`.
 */

/** What an engine does wrong on purpose. */
export interface Switches {
  /** Inference is answered 500 at once. */
  readonly fail: boolean;
  /** Inference is answered 503 at once. */
  readonly unavailable: boolean;
  /** Every route, health and metrics too, is read and never answered. */
  readonly hang: boolean;
  /** Inference resets its connection as soon as its head has arrived. */
  readonly reset: boolean;
  /** A stream resets its connection after this many events; null is off. */
  readonly resetAfterEvents: number | null;
  /** Inference is answered with bytes that are not HTTP. */
  readonly garbage: boolean;
  /** Prefill and decode take this many times longer; 1 is off. */
  readonly slow: number;
  /** The connection is closed, unannounced, after each complete answer. */
  readonly closeKeepAlive: boolean;
  /** `/health` is answered 503. */
  readonly refuseHealth: boolean;
}

export const switchesOff: Switches = {
  fail: false,
  unavailable: false,
  hang: false,
  reset: false,
  resetAfterEvents: null,
  garbage: false,
  slow: 1,
  closeKeepAlive: false,
  refuseHealth: false,
};

/** What is wrong with a value for this switch; null if nothing. */
function switchFault(name: string, value: unknown): string | null {
  if (!Object.hasOwn(switchesOff, name)) {
    return `unknown switch ${name}; there are ${Object.keys(switchesOff).join(', ')}`;
  }
  if (name === 'slow') {
    const valid = typeof value === 'number' && Number.isFinite(value) && value > 0;
    return valid ? null : 'slow must be a positive number';
  }
  if (name === 'resetAfterEvents') {
    const valid = value === null || (Number.isInteger(value) && (value as number) >= 0);
    return valid ? null : 'resetAfterEvents must be null or an integer of at least 0';
  }
  return typeof value === 'boolean' ? null : `${name} must be true or false`;
}

/**
 * Switches from a JSON value: an object with any of their names. Throws RangeError that names every
 * fault at once.
 */
export function switchesFrom(value: unknown): Partial<Switches> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new RangeError('switches must be an object');
  }
  const faults = Object.entries(value)
    .map(([name, setting]) => switchFault(name, setting))
    .filter((fault) => fault !== null);
  if (faults.length > 0) throw new RangeError(faults.join('; '));
  return value as Partial<Switches>;
}

/** Switches from text: `fail`, `slow=4,resetAfterEvents=2`. Throws RangeError as `switchesFrom`. */
export function parseSwitches(text: string): Partial<Switches> {
  const entries = text.split(',').map((item): [string, unknown] => {
    const [name = '', setting] = item.trim().split('=', 2);
    if (setting === undefined || setting === 'true') return [name, true];
    if (setting === 'false') return [name, false];
    return [name, setting === '' ? Number.NaN : Number(setting)];
  });
  return switchesFrom(Object.fromEntries(entries));
}
