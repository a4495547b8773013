import type { HeaderList } from '../terms.ts';

/**
 * What of a client's header fields can be sent on: for both upstream clients. Pure.
 *
 * Both refuse a whole request for one odd byte (DEL in a value, which a front end lets through),
 * and to the router that looks like an instance at fault: one client could have every instance
 * suspected. So such a field, which no engine reads, stays here.
 */
export function sendableFields(fields: HeaderList): string[] {
  const list: string[] = [];
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index]!;
    const value = fields[index + 1]!;
    if (token.test(name) && !unfitForValue.test(value)) list.push(name, value);
  }
  return list;
}

const token = /^[\w!#$%&'*+.^`|~-]+$/;
const unfitForValue = /[^\t\x20-\x7e\x80-\xff]/;
