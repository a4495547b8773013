import { afterEach, describe, expect, it } from 'vitest';
import { chooseFrontEnd } from '../../src/listen/choose.ts';
import { listenHttp } from '../../src/listen/http.ts';
import { listenUws } from '../../src/listen/uws.ts';
import { frontEnds } from '../support/listen-server.ts';

describe('chooseFrontEnd', () => {
  const arch = Object.getOwnPropertyDescriptor(process, 'arch')!;
  afterEach(() => Object.defineProperty(process, 'arch', arch));

  const hasUws = frontEnds.every(({ missing }) => missing === null);
  it.skipIf(!hasUws)('takes uWebSockets.js where it has a binary, and says nothing', () => {
    const lines: string[] = [];
    const front = chooseFrontEnd((line) => lines.push(line));
    expect(front).toEqual({ name: 'uws', listen: listenUws, sharesPort: true });
    expect(lines).toEqual([]);
  });

  it('takes node:http elsewhere, with one warning that says why', () => {
    Object.defineProperty(process, 'arch', { ...arch, value: 'abacus' });
    const lines: string[] = [];
    const front = chooseFrontEnd((line) => lines.push(line));
    expect(front).toEqual({ name: 'http', listen: listenHttp, sharesPort: false });
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain(`uws_${process.platform}_abacus_`);
  });
});
