import { expect, test } from 'vitest';
import { chat, chatPath, endingsBecome, withRouter } from '../support/router.ts';

/** Requests that wait for a hot instance move to their other candidate, and say so. */

const waitingCount = 16;
/**
 * About 3,250 tokens, 2,600 of them its own: 420 ms by the estimate. All begin alike. Their first
 * token is waited for: without a stream a prefill is over when the estimate says so.
 */
const prompt = (name: number) =>
  chat(`${'a'.repeat(3_000)} ${name} ${'b'.repeat(10_000)}`, { stream: true });

test('what would be late at a hot instance moves to its other candidate', async () => {
  const config = {
    policy: 'dualmap-paper',
    sloTtftMs: 8_000,
    // As long as it is in time, everything waits for the warm one.
    sloFraction: 1,
    explain: true,
  } as const;
  const setup = { engines: 3, config };
  await withRouter(setup, async ({ client, engines, router, urls }) => {
    const ask = async (name: number) => {
      const { status, headers } = await client.post(chatPath, prompt(name));
      expect(status).toBe(200);
      const said = (field: string) => String(headers[`x-dualmap-${field}`]);
      const candidates = said('candidates').split(', ');
      return { instance: said('instance'), reason: said('reason'), candidates };
    };
    const { instance: hot, candidates } = await ask(0);
    const other = candidates.find((url) => url !== hot)!;
    const engine = engines[urls.indexOf(hot)]!;
    // 4 s for the first of them.
    engine.setSwitches({ slow: 500 });
    const asked = Array.from({ length: waitingCount }, (_, index) => ask(index + 1));
    const migrations = () => router.state.total(urls.indexOf(other), 'migrationsTotal');
    // The oldest has waited for long after 3 s.
    await expect.poll(migrations, { timeout: 15_000 }).toBeGreaterThan(0);
    engine.setSwitches({ slow: 1 });
    const answers = await Promise.all(asked);
    const moved = answers.filter(({ reason }) => reason === 'migrated');
    expect(moved.map(({ instance }) => instance)).toEqual(moved.map(() => other));
    expect(moved).toHaveLength(migrations());
    expect(answers.some(({ instance }) => instance === hot)).toBe(true);
    expect(router.state.total(urls.indexOf(hot), 'migrationsTotal')).toBe(0);
    const metrics = (await client.get('/metrics')).body.toString();
    const line = `dualmap_instance_migrations_total{instance="${other}"} ${migrations()}`;
    expect(metrics.split('\n')).toContain(line);
    await endingsBecome(router, { completed: waitingCount + 1 });
  });
});
