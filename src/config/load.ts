import type { Config } from './config.ts';
import { readOptionsFile } from './file.ts';
import { type GivenOptions, readArguments } from './flags.ts';
import type { CommandName } from './option.ts';
import { environmentName, fieldsOf, options } from './options.ts';
import { policyModes } from './policy-modes.ts';

/**
 * Command line over environment over file over default, checked, with every fault at once: those of
 * values that another layer overrides too. No side effects: everything that is read comes in.
 */

export interface Surroundings {
  /** Whose options count; `serve` if left out. */
  readonly command?: CommandName;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Throws if there is no such file. */
  readonly readFile: (path: string) => string;
}

/** `config` is null exactly if there are faults. */
export type LoadedConfig =
  | { readonly config: Config; readonly faults: readonly [] }
  | { readonly config: null; readonly faults: readonly string[] };

/** `argv` without the name of the program and of the command. */
export function loadConfig(input: Surroundings & { argv: readonly string[] }): LoadedConfig {
  return resolveConfig({ ...input, given: readArguments(input.command ?? 'serve', input.argv) });
}

export function resolveConfig(input: Surroundings & { given: GivenOptions }): LoadedConfig {
  const layers = new Layers(input.command ?? 'serve', input.given);
  layers.addEnvironment(input.env);
  const path = layers.get('configFile');
  if (path !== null) layers.addFile(path, input.readFile);
  return layers.finish();
}

type Values = Partial<Record<keyof Config, unknown>>;

class Layers {
  readonly #fields: readonly (keyof Config)[];
  readonly #faults: string[];
  /** Highest first. */
  readonly #layers: Values[] = [];
  /** Whether some source lists instances, or cannot be read and so may list some. */
  #instancesMentioned = false;

  constructor(command: CommandName, given: GivenOptions) {
    this.#fields = fieldsOf(command);
    this.#faults = [...given.faults];
    this.#add((name) => ({ text: given.values.get(name), where: `--${name}` }));
  }

  addEnvironment(env: Surroundings['env']): void {
    this.#add((name) => {
      const where = environmentName(name);
      const text = env[where];
      // For a service called "dualmap" Kubernetes itself sets DUALMAP_PORT, to tcp://ADDRESS:PORT.
      const foreign = name === 'port' && text?.startsWith('tcp://') === true;
      return { text: foreign ? undefined : text, where };
    });
  }

  addFile(path: string, readFile: Surroundings['readFile']): void {
    let content: string;
    try {
      content = readFile(path);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#faults.push(`--config: ${path} cannot be read: ${reason}`);
      this.#instancesMentioned = true;
      return;
    }
    const file = readOptionsFile(content, path, this.#namesInFile());
    this.#faults.push(...file.faults);
    this.#add((name) => file.values.get(name) ?? { text: undefined, where: path });
    if (file.instances !== null) this.#layers.push({ instances: file.instances });
    if (file.instances !== null || file.broken) this.#instancesMentioned = true;
  }

  /** The value of the highest layer that has one; null is one. */
  get<Field extends keyof Config>(field: Field): Config[Field] {
    const layer = this.#layers.find((candidate) => field in candidate);
    // What is in a layer was parsed by the field's own kind.
    return layer === undefined ? options[field].default : (layer[field] as Config[Field]);
  }

  finish(): LoadedConfig {
    const fields = Object.keys(options) as (keyof Config)[];
    const entries = fields.map((field) => [field, this.get(field)] as const);
    const config = Object.freeze(Object.fromEntries(entries)) as unknown as Config;
    const faults = [...this.#faults, ...this.#disagreements(config)];
    return faults.length === 0 ? { config, faults: [] } : { config: null, faults };
  }

  #add(read: (name: string) => { readonly text: string | undefined; readonly where: string }) {
    const layer: Values = {};
    for (const field of this.#fields) {
      const { name, kind, secret } = options[field];
      const { text, where } = read(name);
      if (text === undefined) continue;
      if (field === 'instances') this.#instancesMentioned = true;
      const parsed = kind.parse(text);
      if ('value' in parsed) layer[field] = parsed.value;
      else if (secret === true) this.#faults.push(`${where}: expected ${kind.accepts}`);
      else this.#faults.push(...parsed.faults.map((fault) => `${where}: ${fault}`));
    }
    this.#layers.push(layer);
  }

  #namesInFile(): string[] {
    const fields = this.#fields.filter((field) => field !== 'configFile');
    return fields.map((field) => options[field].name);
  }

  /** Faults of values that are good each for itself. */
  #disagreements(config: Config): string[] {
    const { instances, instancesMax, port, prometheusPort } = config;
    const faults: string[] = [];
    const wanted = this.#fields.includes('instances') && !this.#instancesMentioned;
    if (wanted && instances.length === 0) {
      faults.push(
        'no instance is configured: --worker-urls http://HOST:PORT, or workers in a file',
      );
    }
    if (instances.length > instancesMax) {
      faults.push(`--max-instances: ${instances.length} instances, ${instancesMax} allowed`);
    }
    if (config.suspectBackoffMs > config.suspectBackoffMaxMs) {
      faults.push('--suspect-backoff-ms: is above --suspect-backoff-max-ms');
    }
    if (prometheusPort !== null && prometheusPort !== 0 && prometheusPort === port) {
      faults.push(`--prometheus-port: ${port} is the port of the API; write off, or another one`);
    }
    const { latePolicy, policy, queueOrder } = config;
    const order = queueOrder === 'auto' ? policyModes[policy].queueOrder : queueOrder;
    if (latePolicy === 'shed' && order !== 'deadline') {
      const whose = queueOrder === 'auto' ? `${policy} has` : '--queue-order is';
      faults.push(`--late-policy: shed needs --queue-order deadline; ${whose} ${order}`);
    }
    return faults;
  }
}
