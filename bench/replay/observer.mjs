/**
 * What the router's own metrics say during a run: work that is not prefilled yet, by instance, and
 * the counters of moves. Asks a few times a second; the router's main thread answers, no request
 * waits for it.
 */
import { metricSum } from '../soak/verdict.mjs';

const intervalMs = 250;

/** The values of a gauge, one an instance. */
function valuesOf(text, name) {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .map((line) => Number(line.slice(line.lastIndexOf(' '))));
}

/** Coefficient of variation; `null` if there is nothing to vary. */
export function variationOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (mean === 0) return null;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / values.length) / mean;
}

export class Observer {
  #url;
  #timer = null;
  #asked = Promise.resolve();
  #variations = [];
  #onReceived;

  /** `onReceived(count)`: requests that the router has received by now. */
  constructor(url, onReceived = () => undefined) {
    this.#url = url;
    this.#onReceived = onReceived;
  }

  /** Samples count while the router has received from `from` to `to` requests. */
  start({ from, to }) {
    this.#timer = setInterval(() => {
      this.#asked = this.#asked.then(() => this.#sample(from, to));
    }, intervalMs);
  }

  async #sample(from, to) {
    const text = await this.#ask();
    const received = metricSum(text, 'dualmap_received_total');
    await this.#onReceived(received);
    if (received < from || received >= to) return;
    const queued = valuesOf(text, 'dualmap_instance_queued_tokens');
    const sent = valuesOf(text, 'dualmap_instance_pending_prefill_tokens');
    const variation = variationOf(queued.map((tokens, at) => tokens + sent[at]));
    if (variation !== null) this.#variations.push(variation);
  }

  async #ask() {
    return (await fetch(`${this.#url}/metrics`)).text();
  }

  /** The whole run, the warm-up included. */
  async stop() {
    clearInterval(this.#timer);
    await this.#asked;
    const text = await this.#ask();
    const total = (name) => metricSum(text, `dualmap_instance_${name}_total`);
    const { length } = this.#variations;
    return {
      migrations: total('migrations'),
      coldClaims: total('cold_claims'),
      imbalance: length === 0 ? null : this.#variations.reduce((sum, one) => sum + one) / length,
    };
  }
}
