import type { InstanceConfig } from './config.ts';
import { type Kind, type Parsed, refuse } from './kinds.ts';

/**
 * The URL of an instance in its one normal form. Its text is the identity of the instance on the
 * rings, so two spellings of one address must become one text. Pure functions.
 */

export const weightMin = 0.01;
export const weightMax = 100;

const expected = 'http://HOST:PORT, https://HOST:PORT or unix:/PATH';

export function parseInstanceUrl(text: string): Parsed<string> {
  const socket = /^unix:(?:\/\/)?(\/[^\s?#]+)$/.exec(text);
  if (socket !== null) return { value: `unix:${socket[1]}` };
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return refuse(text, expected);
  const url = new URL(text);
  // The path of a request is the client's; a base path would have to be added to every one of them.
  if (url.pathname !== '/') {
    return { faults: [`"${text}" has a path; leave out "${url.pathname}"`] };
  }
  if (url.search !== '' || url.hash !== '' || url.port === '0') return refuse(text, expected);
  if (url.username !== '' || url.password !== '') {
    return { faults: ['a URL has a user or a password in it; clients send their own credentials'] };
  }
  return { value: url.origin };
}

/** One fault for each URL that stands more than once, by its normal form. */
export function duplicateUrls(entries: readonly Pick<InstanceConfig, 'url'>[]): string[] {
  const urls = entries.map(({ url }) => url);
  const repeated = new Set(urls.filter((url, index) => urls.indexOf(url) !== index));
  return [...repeated].map((url) => `${url} is listed more than once`);
}

/** `http://a:8000 http://b:8000` or with commas between them: instances of weight 1. */
function parseUrlList(text: string): Parsed<readonly InstanceConfig[]> {
  const parsed = text
    .split(/[\s,]+/)
    .filter((url) => url !== '')
    .map(parseInstanceUrl);
  const faults = parsed.flatMap((one) => ('faults' in one ? one.faults : []));
  if (parsed.length === 0) faults.push('lists no URL');
  const value = parsed.flatMap((one) =>
    'value' in one ? [{ url: one.value, weight: 1, models: null }] : [],
  );
  faults.push(...duplicateUrls(value));
  return faults.length > 0 ? { faults } : { value };
}

export const urlList: Kind<readonly InstanceConfig[]> = {
  placeholder: 'URL...',
  accepts: '`http://HOST:PORT`, `https://HOST:PORT`, `unix:/PATH`',
  standsAlone: false,
  parse: parseUrlList,
  format: (value) => value.map(({ url }) => url).join(' '),
  edges: {
    taken: ['http://a', 'https://[::1]:8000', 'http://a,http://b', 'unix:/run/engine.sock'],
    refused: ['', 'a:8000', 'ftp://a', 'http://', 'http://a/v1', 'http://a http://A:80/', 'unix:a'],
  },
};
