import { defineConfig } from 'vitest/config';

// Forks, not threads: the addon, uWebSockets.js and their sockets belong to one process each.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Minutes, not seconds: npm run test:validation.
    exclude: ['test/validation/**'],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
