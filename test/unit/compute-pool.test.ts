import { expect, test } from 'vitest';
import { openComputePool } from '../../src/compute/pool.ts';

test('a pool that is closed while its thread starts still does what it was asked', async () => {
  const pool = openComputePool(new URL('../../dist/compute/tasks.js', import.meta.url));
  const fitted = pool.fitSpeeds([{ rows: new Float64Array(0), prefillMsPerToken: 0.25 }]);
  await Promise.all([pool.close(), expect(fitted).resolves.toMatchObject([{ perTokenMs: 0.25 }])]);
});
