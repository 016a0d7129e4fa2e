import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    // Patience for a machine that builds something else meanwhile.
    testTimeout: 60_000,
  },
});
