/**
 * `/workers`: what may be asked of the fleet at run time, and the answers. An I/O thread passes the
 * request on as text; here it is read, judged and done. Main thread only; never waits for anything.
 */

import { parseInstanceUrl, weightMax, weightMin } from '../config/instance-url.ts';
import type { InstanceState } from '../core/fleet-state.ts';
import type { RequestFaultCode } from '../errors.ts';
import { type Instance, modelNames, ringWeight } from './instance.ts';

/** Plain data. `body` is empty where there is none. */
export interface AdminRequest {
  readonly method: string;
  readonly path: string;
  readonly body: string;
}

/** Plain data: an answer, or the fault that the client is told. */
export type AdminAnswer = { readonly status: number; readonly text: string } | AdminFault;

export interface AdminFault {
  readonly code: RequestFaultCode;
  readonly message: string;
  /** The field at fault. */
  readonly param?: string;
}

/** What it needs of the registry. */
export interface AdminFleet {
  readonly instances: readonly Instance[];
  find(by: { readonly id: string } | { readonly url: string }): Instance | undefined;
  add(url: string, weight: number, models: readonly string[] | null, warmsUp: boolean): Instance;
  setWeight(instance: Instance, weight: number): void;
  setModels(instance: Instance, models: readonly string[]): void;
  drain(instance: Instance): void;
  stay(instance: Instance): void;
}

/** What it reads of the fleet state. */
export interface AdminState {
  readonly instancesMax: number;
  state(slot: number): InstanceState;
  load(
    slot: number,
    kind: 'queued' | 'prefilling' | 'decoding',
  ): { readonly requests: number; readonly tokens: number };
  holds(slot: number): number;
  total(slot: number, kind: 'requestsTotal' | 'failuresTotal'): number;
}

export interface AdminParts {
  readonly registry: AdminFleet;
  readonly state: AdminState;
  readonly log: { info(fields: object, message: string): void };
  /** Health checks of a new instance begin. */
  watch(instance: Instance): void;
}

/** What `POST /workers` asks for. */
interface Joining {
  readonly url: string;
  readonly weight: number | null;
  readonly model: string | null;
}

export class FleetAdmin {
  readonly #parts: AdminParts;

  constructor(parts: AdminParts) {
    this.#parts = parts;
  }

  answer({ method, path, body }: AdminRequest): AdminAnswer {
    if (method === 'POST') return this.#join(body);
    const id = /^\/workers\/(.+)$/.exec(path)?.[1];
    if (id === undefined) return this.#list();
    const instance = this.#parts.registry.find({ id });
    if (instance === undefined) {
      return { code: 'unknown_instance', message: `no instance has the id ${JSON.stringify(id)}` };
    }
    return method === 'DELETE' ? this.#leave(instance) : this.#tell(200, instance);
  }

  #list(): AdminAnswer {
    const workers = this.#parts.registry.instances.map((instance) => this.#describe(instance));
    return { status: 200, text: JSON.stringify({ workers }) };
  }

  /** Asking twice changes nothing; an instance that is there keeps what is not mentioned. */
  #join(body: string): AdminAnswer {
    const { registry, log, watch } = this.#parts;
    const joining = readJoining(body);
    if ('code' in joining) return joining;
    const { url, weight, model } = joining;
    const instance = registry.find({ url });
    const fault = this.#roomFault(instance, weight);
    if (fault !== null) return fault;
    if (instance === undefined) {
      const added = registry.add(url, weight ?? 1, model === null ? null : [model], true);
      log.info({ instance: url, weight: added.weight }, 'instance joins');
      watch(added);
      return this.#tell(201, added);
    }
    registry.stay(instance);
    if (weight !== null) registry.setWeight(instance, weight);
    if (model !== null) registry.setModels(instance, [model]);
    log.info({ instance: url, weight: instance.weight }, 'instance stays');
    return this.#tell(200, instance);
  }

  /**
   * The rings have room for `--max-instances` of weight 1. Weights that together are no more always
   * fit: better a refusal now than rings that cannot be built when the instance answers.
   */
  #roomFault(instance: Instance | undefined, weight: number | null): AdminFault | null {
    const { registry, state } = this.#parts;
    const max = state.instancesMax;
    if (instance === undefined && registry.instances.length >= max) {
      const message = `all ${max} slots are taken: wait for a drain, or raise --max-instances`;
      return { code: 'fleet_full', message };
    }
    const others = registry.instances.filter((one) => one !== instance);
    const sum = others.reduce((total, one) => total + one.weight, 0);
    const own = weight ?? instance?.weight ?? 1;
    const isHeavier = own > (instance?.weight ?? 0);
    if (!isHeavier || sum + own <= max) return null;
    const message = `the weights of all instances may add up to ${max} (--max-instances)`;
    return { code: 'fleet_full', message, param: 'weight' };
  }

  #leave(instance: Instance): AdminAnswer {
    this.#parts.registry.drain(instance);
    this.#parts.log.info({ instance: instance.url }, 'instance leaves');
    return this.#tell(202, instance);
  }

  #tell(status: number, instance: Instance): AdminAnswer {
    return { status, text: JSON.stringify(this.#describe(instance)) };
  }

  #describe(instance: Instance): object {
    const { state } = this.#parts;
    const { slot, id, url, weight } = instance;
    const [queued, prefilling] = [state.load(slot, 'queued'), state.load(slot, 'prefilling')];
    return {
      id,
      url,
      weight,
      state: state.state(slot),
      models: modelNames(instance),
      /** Below `weight` while it warms up. */
      ring_weight: ringWeight(instance),
      load: {
        queued_requests: queued.requests,
        prefilling_requests: prefilling.requests,
        pending_prefill_tokens: queued.tokens + prefilling.tokens,
        decoding_requests: state.load(slot, 'decoding').requests,
        requests_in_flight: state.holds(slot),
        requests_total: state.total(slot, 'requestsTotal'),
        failures_total: state.total(slot, 'failuresTotal'),
      },
    };
  }
}

const joiningFields = ['url', 'weight', 'model'];

/** The body of `POST /workers`, or what is wrong with it. */
export function readJoining(body: string): Joining | AdminFault {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { code: 'invalid_json', message: `the request body is not valid JSON: ${reason}` };
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { code: 'invalid_json', message: 'the request body is not a JSON object' };
  }
  const unknown = Object.keys(value).find((name) => !joiningFields.includes(name));
  if (unknown !== undefined) {
    const message = `\`${unknown}\` is no field of an instance: ${joiningFields.join(', ')}`;
    return { code: 'invalid_value', message, param: unknown };
  }
  return readFields(value as Readonly<Record<string, unknown>>);
}

function readFields(fields: Readonly<Record<string, unknown>>): Joining | AdminFault {
  const { url, weight = null, model = null } = fields;
  if (typeof url !== 'string') {
    return { code: 'invalid_type', message: '`url` is missing, or no string', param: 'url' };
  }
  const parsed = parseInstanceUrl(url);
  if ('faults' in parsed) {
    return { code: 'invalid_value', message: `url: ${parsed.faults.join('; ')}`, param: 'url' };
  }
  if (weight !== null && typeof weight !== 'number') {
    return { code: 'invalid_type', message: '`weight` is no number', param: 'weight' };
  }
  if (weight !== null && !(weight >= weightMin && weight <= weightMax)) {
    const message = `weight: ${weight} is refused; expected ${weightMin} to ${weightMax}`;
    return { code: 'invalid_value', message, param: 'weight' };
  }
  if (model !== null && typeof model !== 'string') {
    return { code: 'invalid_type', message: '`model` is no string', param: 'model' };
  }
  if (model === '') return { code: 'invalid_value', message: '`model` is empty', param: 'model' };
  return { url: parsed.value, weight, model };
}
