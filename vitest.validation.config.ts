import { defineConfig } from 'vitest/config';

// The validation ladder of the simulator: queues and engines whose behaviour is known.
export default defineConfig({
  test: {
    include: ['test/validation/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 120_000,
  },
});
