import type { Document, Node, YAMLMap } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Pair, parseDocument } from 'yaml';
import type { InstanceConfig } from './config.ts';
import { duplicateUrls, parseInstanceUrl, weightMax, weightMin } from './instance-url.ts';
import { decimal } from './kinds.ts';
import { didYouMean } from './nearest.ts';

/**
 * Reads the YAML file into texts, one for each option, and the `workers:` list into instances.
 * Knows nothing of what the options mean. Pure: the text of the file comes in.
 */

export interface FileValue {
  readonly text: string;
  /** `dualmap.yaml:3: port`, for messages. */
  readonly where: string;
}

export interface FileOptions {
  readonly values: ReadonlyMap<string, FileValue>;
  /** Null if the file has no `workers:`. */
  readonly instances: readonly InstanceConfig[] | null;
  /** True if it is no YAML mapping, so that nothing is known about its content. */
  readonly broken: boolean;
  readonly faults: readonly string[];
}

type Content = Node | null;

/** `names` are the options that may stand in the file. */
export function readOptionsFile(
  content: string,
  fileName: string,
  names: readonly string[],
): FileOptions {
  const lines = new LineCounter();
  const document = parseDocument(content, { lineCounter: lines, prettyErrors: false });
  const problems = [...document.errors, ...document.warnings];
  if (problems.length > 0) {
    const faults = problems.map(
      ({ pos, message }) => `${fileName}:${lines.linePos(pos[0]).line}: ${message}`,
    );
    return { values: new Map(), instances: null, broken: true, faults };
  }
  return new OptionsFile(document, fileName, lines).read(names);
}

class OptionsFile {
  readonly #document: Document;
  readonly #fileName: string;
  readonly #lines: LineCounter;
  readonly #faults: string[] = [];

  constructor(document: Document, fileName: string, lines: LineCounter) {
    this.#document = document;
    this.#fileName = fileName;
    this.#lines = lines;
  }

  read(names: readonly string[]): FileOptions {
    const values = new Map<string, FileValue>();
    let instances: InstanceConfig[] | null = null;
    const known = [...names, 'workers'];
    const pairs = this.#pairs(this.#document.contents, this.#fileName);
    for (const [key, node, where] of pairs ?? []) {
      if (!known.includes(key)) {
        this.#faults.push(`${where}: unknown key${didYouMean(key, known)}`);
      } else if (key === 'workers') {
        instances = this.#instances(node, where);
      } else {
        const text = this.#text(node, where, key === 'worker-urls');
        if (text !== null) values.set(key, { text, where });
      }
    }
    if (instances !== null && values.has('worker-urls')) {
      this.#faults.push(`${this.#fileName}: has both workers and worker-urls; keep one`);
    }
    return { values, instances, broken: pairs === null, faults: this.#faults };
  }

  /** The entries of a mapping, or null and a fault. An empty file is an empty mapping. */
  #pairs(content: Content, where: string): [key: string, node: Content, where: string][] | null {
    const map = this.#resolve(content);
    if (map === null) return [];
    if (!isMap(map)) {
      this.#faults.push(`${this.#at(map, where)}: expected a mapping of keys to values`);
      return null;
    }
    return (map as YAMLMap<Node, Content>).items.map((pair: Pair<Node, Content>) => {
      const key = isScalar(pair.key) ? (pair.key.source ?? String(pair.key.value)) : '';
      return [key, pair.value, `${this.#at(pair.key, this.#fileName)}: ${key}`];
    });
  }

  /**
   * The text as written, so that `0123`, `1e3` and `on` mean here what they mean on the command
   * line, and not what YAML makes of them.
   */
  #text(content: Content, where: string, listAllowed: boolean): string | null {
    const node = this.#resolve(content);
    if (listAllowed && isSeq(node)) {
      const items = node.items.map((item) => this.#text(item as Content, where, false));
      return items.includes(null) ? null : items.join(' ');
    }
    if (isScalar(node) && node.value !== null) return node.source ?? String(node.value);
    const empty = node === null || isScalar(node);
    this.#faults.push(`${where}: ${empty ? 'has no value' : 'expected one value'}`);
    return null;
  }

  #instances(content: Content, where: string): InstanceConfig[] {
    const list = this.#resolve(content);
    if (!isSeq(list) || list.items.length === 0) {
      this.#faults.push(`${where}: expected a list of instances, at least one`);
      return [];
    }
    const instances = list.items.flatMap((item) => this.#instance(item as Content, where));
    this.#faults.push(...duplicateUrls(instances).map((fault) => `${where}: ${fault}`));
    return instances;
  }

  #instance(item: Content, list: string): InstanceConfig[] {
    const faultsBefore = this.#faults.length;
    const pairs = this.#pairs(item, list);
    if (pairs === null) return [];
    if (!pairs.some(([key]) => key === 'url')) {
      this.#faults.push(`${this.#at(item, list)}: an instance needs a url`);
    }
    let url: string | null = null;
    let weight = 1;
    let models: string[] | null = null;
    for (const [key, node, where] of pairs) {
      if (key === 'url') {
        url = this.#parsed(parseInstanceUrl, node, where);
      } else if (key === 'weight') {
        weight = this.#parsed(decimal(weightMin, weightMax).parse, node, where) ?? weight;
      } else if (key === 'models') {
        models = this.#models(node, where);
      } else {
        const hint = didYouMean(key, ['url', 'weight', 'models']);
        this.#faults.push(`${where}: unknown key of an instance${hint}`);
      }
    }
    return this.#faults.length > faultsBefore || url === null ? [] : [{ url, weight, models }];
  }

  #parsed<T>(
    parse: (text: string) => { value: T } | { faults: readonly string[] },
    node: Content,
    where: string,
  ): T | null {
    const text = this.#text(node, where, false);
    if (text === null) return null;
    const parsed = parse(text);
    if ('value' in parsed) return parsed.value;
    this.#faults.push(...parsed.faults.map((fault) => `${where}: ${fault}`));
    return null;
  }

  #models(content: Content, where: string): string[] | null {
    const list = this.#resolve(content);
    if (!isSeq(list) || list.items.length === 0) {
      this.#faults.push(`${where}: expected a list of models; leave it out to ask the instance`);
      return null;
    }
    const models = list.items.map((item) => this.#text(item as Content, where, false) ?? '');
    if (models.includes('')) this.#faults.push(`${where}: has an empty name`);
    return models;
  }

  #resolve(content: Content): Content {
    return isAlias(content) ? (content.resolve(this.#document) ?? null) : content;
  }

  #at(node: Content, otherwise: string): string {
    const start = node?.range?.[0];
    if (start === undefined) return otherwise;
    return `${this.#fileName}:${this.#lines.linePos(start).line}`;
  }
}
