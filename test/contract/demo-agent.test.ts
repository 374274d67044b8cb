// `npm run demo:agent` from outside, and its configuration as it stands.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Narrator } from '../../src/cli/demo/narrator.ts'
import { NotObserved } from '../../src/cli/demo/observation.ts'
import { load } from '../../src/config/load.ts'
import { setUp } from '../demo/set-up.ts'
import { Story, STEPS } from '../demo/story.ts'

const ROOT = join(import.meta.dirname, '../..')
/** What is promised of it. */
const LONGEST = 30_000

test('[ADM10] the agents\' demo sees each of its steps, in 30 seconds and without colour where nobody looks, and exits 0', async () => {
  const child = spawn(process.execPath, ['test/demo/agent.ts'], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
  let printed = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => void (printed += text))
  const started = performance.now()
  const [code] = (await once(child, 'exit')) as [number | null] // as Node tells it
  expect(code, printed).toBe(0)
  expect(performance.now() - started).toBeLessThan(LONGEST)
  for (const [i, step] of STEPS.entries()) expect(printed).toContain(`[${i + 1}/${STEPS.length}] ${step}`)
  expect(printed).toContain(`All ${STEPS.length} steps were observed.`)
  expect(printed).not.toMatch(/\beyJ[\w-]+\.eyJ|\bnga_[\w-]{43}/) // what it logs goes there too
}, LONGEST + 10_000)

test('[ADM10] where the ticket does not close nothing is cut, and the story says so', async () => {
  const at = await setUp()
  try {
    const operator = { ask: (...asked: Parameters<typeof at.operator.ask>) => ('state' in asked[1].body && asked[1].body.state === 'ended' ? Promise.resolve({}) : at.operator.ask(...asked)) } as typeof at.operator // what the story asks it
    let told = ''
    await expect(new Story({ ...at, operator }, new Narrator({ out: text => void (told += text), colour: false })).play()).rejects.toThrow(NotObserved)
    expect(told).toContain(STEPS[6])
    expect(told).not.toContain('steps were observed')
  } finally {
    await at.close()
  }
}, LONGEST)

test('[CFG6] config/demo-agent.yaml loads as it stands, with warnings about what a demo does', () => {
  const file = join(ROOT, 'config/demo-agent.yaml')
  const loaded = load(readFileSync(file, 'utf8'), file, { directory: ROOT, variable: () => undefined, read: () => null, exists: () => true, cores: 4 })
  expect(loaded.ok ? [] : loaded.problems).toEqual([])
})
