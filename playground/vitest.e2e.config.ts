import { defineConfig } from 'vitest/config';

// One browser and one file at a time: two cores are enough.
export default defineConfig({
  test: { include: ['e2e/**/*.test.ts'], environment: 'node', fileParallelism: false, testTimeout: 180_000, hookTimeout: 120_000 },
});
