import { defineConfig } from 'vitest/config'

const servers = { pool: 'forks', hookTimeout: 30_000, retry: 0 } as const

export default defineConfig({
  test: {
    reporters: ['default', './test/support/summary-reporter.ts'],
    globalSetup: ['./test/support/global-setup.ts'],
    environment: 'node',
    restoreMocks: true,
    unstubEnvs: true,
    passWithNoTests: false,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/{unit,golden,simulation}/**/*.test.ts'], pool: 'threads', testTimeout: 20_000, sequence: { groupOrder: 0 } } },
      { extends: true, test: { ...servers, name: 'contract', include: ['test/contract/**/*.test.ts'], testTimeout: 20_000, sequence: { groupOrder: 1 } } },
      { extends: true, test: { ...servers, name: 'wire', include: ['test/wire/**/*.test.ts'], maxWorkers: 2, testTimeout: 60_000, sequence: { groupOrder: 2 } } },
      { extends: true, test: { ...servers, name: 'scenario', include: ['test/scenario/**/*.test.ts'], maxWorkers: 1, testTimeout: 120_000, sequence: { groupOrder: 3 } } },
      { extends: true, test: { ...servers, name: 'verify', include: ['test/verify/**/*.test.ts'], testTimeout: 60_000, sequence: { groupOrder: 4 } } },
    ],
  },
})
