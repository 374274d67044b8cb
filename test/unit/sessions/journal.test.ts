// The write-ahead file of restrictive news: what was confirmed and is still owed is there again after every restart, kill, power cut and torn line.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { copyFile, type FileHandle } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { refName } from '../../../src/core/record.ts'
import type { Signal, SignalId } from '../../../src/core/signal.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import { Journal } from '../../../src/sessions/journal.ts'
import type { Journaled } from '../../../src/sessions/journal/entries.ts'
import { type Disk, SYSTEM_DISK } from '../../../src/sessions/journal/file.ts'

const START = 1_790_000_000_000
const MINUTE = 60_000
const MIB = 1024 * 1024

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'narrowgate-journal-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

let now = instant(START)
const clock = (): Instant => now
const pass = (ms: number): void => { now = instant(now + ms) }

async function opened(path: string, disk: Disk = SYSTEM_DISK): Promise<Journal> {
  const journal = await Journal.open(path, clock, disk)
  onTestFinished(() => journal.close())
  return journal
}

/** An end called `name`, of a session of that name. */
const end = (name: string, note = ''): Journaled => {
  const news: Signal = { kind: 'session.terminated', reason: 'revoked', id: `sig_${name}` as SignalId, by: 'https://idp.test/|ann', note } // any word will do
  return { ref: { kind: 'session', name }, news, at: now, record: null }
}
const operationOf = (name: string): string => `sig_${name}:session/${name}`
const names = (entries: readonly Journaled[]): readonly string[] => entries.map(({ ref }) => ref.name)
const told = (entries: readonly Journaled[]): readonly string[] => entries.map(({ ref, news }) => `${news.id}:${refName(ref)}`)
const systemError = (code: string): Error => Object.assign(new Error(`${code}: as told`), { code })

/** Fails where it is told to, and counts. */
function troubledDisk(): { readonly disk: Disk; readonly trouble: { append: Error | null; datasync: Error | null; rename: Error | null; syncs: number; renames: number } } {
  const trouble = { append: null as Error | null, datasync: null as Error | null, rename: null as Error | null, syncs: 0, renames: 0 } // set by the test
  const disk: Disk = {
    append: async (handle, text) => {
      if (trouble.append === null) return SYSTEM_DISK.append(handle, text)
      await SYSTEM_DISK.append(handle, text.slice(0, text.length / 2))
      throw trouble.append
    },
    datasync: async handle => {
      trouble.syncs++
      if (trouble.datasync !== null) throw trouble.datasync
      await SYSTEM_DISK.datasync(handle)
    },
    rename: async (from, to) => {
      trouble.renames++
      if (trouble.rename !== null) throw trouble.rename
      await SYSTEM_DISK.rename(from, to)
    },
    syncDirectory: SYSTEM_DISK.syncDirectory,
  }
  return { disk, trouble }
}

describe('what is kept', () => {
  test('[STO7, STO19] what is owed and what was said is there again, each as it was, in order; what was paid is owed no more', async () => {
    const path = join(folder(), 'journal.jsonl')
    const first = await opened(path)
    const lock: Journaled = {
      ref: { kind: 'lock', name: 'tenant/Ünï\u2028\n"x"' }, at: now, record: null,
      news: { kind: 'lock.set', lock: 'lck_1' as never, selector: { kind: 'tenant', value: 'acme' }, effect: 'freeze' as never, reason: 'locked', until: null, id: 'sig_l' as SignalId, by: 'ann', note: 'é \u{1F512}' }, // any words will do
    }
    await Promise.all([first.write(end('a'), true), first.write(end('b'), false), first.write(lock, true), first.write(end('c'), true)])
    first.paid(operationOf('a'))
    await first.close()
    const second = await opened(path)
    expect(second.owed).toEqual([lock, end('c')])
    expect(second.recent).toEqual([end('b'), end('a')])
    expect(second.damaged).toBe(0)
  })

  test('[STO7, STO19] what is owed is kept whatever its age, what was said 14 minutes, what was paid 14 minutes from then', async () => {
    const path = join(folder(), 'journal.jsonl')
    const first = await opened(path)
    await Promise.all([first.write(end('said'), false), first.write(end('owed'), true), first.write(end('paid'), true)])
    pass(10 * MINUTE)
    first.paid(operationOf('paid'))
    await first.write(end('next'), true)
    pass(4 * MINUTE - 1)
    expect(names(first.recent)).toEqual(['said', 'paid'])
    pass(1)
    expect(names(first.recent)).toEqual(['paid'])
    await first.close()
    const second = await opened(path)
    expect([names(second.owed), names(second.recent)]).toEqual([['owed', 'next'], ['paid']])
    pass(10 * MINUTE)
    expect(names(second.recent)).toEqual([])
    pass(400 * 24 * 60 * MINUTE)
    await second.close()
    expect(names((await opened(path)).owed)).toEqual(['owed', 'next'])
  })

  test('[STO7, STO19] what is paid in the turn in which it was written is not owed after a restart', async () => {
    const path = join(folder(), 'journal.jsonl')
    const journal = await opened(path)
    const written = [journal.write(end('a'), true), journal.write(end('b'), true)]
    journal.paid(operationOf('a'))
    journal.paid(operationOf('never owed'))
    await Promise.all(written)
    await journal.close()
    expect(readFileSync(path, 'utf8')).not.toContain('never owed')
    expect(names((await opened(path)).owed)).toEqual(['b'])
  })

  test('[STO7, STO19] an intent that the store then does not take is owed, and saying it again does not make it paid', async () => {
    const path = join(folder(), 'journal.jsonl')
    const first = await opened(path)
    await first.write(end('a'), false)
    await first.write(end('b'), true)
    await first.write(end('a'), true)
    await first.write(end('a'), false)
    expect([names(first.owed), names(first.recent)]).toEqual([['b', 'a'], []])
    await first.close()
    expect(names((await opened(path)).owed)).toEqual(['b', 'a'])
  })

  test('[STO7, STO19] only its owner reads it, also where it was open to others before', async () => {
    const path = join(folder(), 'journal.jsonl')
    writeFileSync(path, '', { mode: 0o644 })
    await (await opened(path)).write(end('a'), true)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('[STO7, STO19] what could not be read again is not written', async () => {
    const journal = await opened(join(folder(), 'journal.jsonl'))
    const widened: Journaled = { ...end('a'), news: { kind: 'session.widened', id: 'sig_a' as SignalId, by: 'ann', note: '' } } // any id will do
    await expect(journal.write(widened, true)).rejects.toThrow('the journal takes restrictive news')
    await expect(journal.write({ ...end('a'), at: instant(Number.NaN) }, true)).rejects.toThrow(TypeError)
    await expect(journal.write(end('a', 'x'.repeat(MIB)), true)).rejects.toThrow('too long for the journal')
    expect(journal.owed).toEqual([])
  })

  test('[STO7, STO19] a closed journal has written what came before and takes nothing more', async () => {
    const path = join(folder(), 'journal.jsonl')
    const journal = await opened(path)
    const last = journal.write(end('a'), true)
    await journal.close()
    await last
    await expect(journal.write(end('b'), true)).rejects.toMatchObject({ code: 'closed' })
    journal.paid(operationOf('a'))
    expect(names((await opened(path)).owed)).toEqual(['a'])
  })
})

describe('the file', () => {
  test('[STO7, STO19] everything of one turn shares one flush, and who comes while it runs the next', async () => {
    const { disk, trouble } = troubledDisk()
    const journal = await opened(join(folder(), 'journal.jsonl'), disk)
    trouble.syncs = 0
    const turn = Array.from({ length: 500 }, (_, i) => journal.write(end(`${i}`), true))
    await turn[0]
    expect(trouble.syncs).toBe(1)
    await Promise.all(turn)
    expect(trouble.syncs).toBe(1)
    await journal.write(end('later'), true)
    expect(trouble.syncs).toBe(2)
  })

  test('[STO7, STO19] it stays small while much is written and paid, is replaced now and then only, and loses nothing by it', async () => {
    const path = join(folder(), 'journal.jsonl')
    const { disk, trouble } = troubledDisk()
    const journal = await opened(path, disk)
    await journal.write(end('first'), true)
    for (let i = 0; i < 60; i++) {
      await journal.write(end(`${i}`, 'x'.repeat(100_000)), true)
      journal.paid(operationOf(`${i}`))
      pass(MINUTE)
    }
    await journal.write(end('last'), true)
    expect(statSync(path).size).toBeLessThan(4 * MIB)
    expect(trouble.renames).toBeLessThan(1 + 60 / 10)
    await journal.close()
    expect(names((await opened(path)).owed)).toEqual(['first', 'last'])
  })

  test('[STO7, STO19] a damaged line is skipped and counted, the lines around it count, and the damaged file is kept', async () => {
    const path = join(folder(), 'journal.jsonl')
    const first = await opened(path)
    for (const name of ['a', 'b', 'c', 'd']) await first.write(end(name), true)
    await first.close()
    const lines = readFileSync(path, 'utf8').split('\n')
    const damaged = Buffer.concat([
      Buffer.from(`${lines[0]}\n{"is":"owed","at":1}\n\n\0\0\0\n`), Buffer.from([0xff, 0xfe, 10]), Buffer.from(`${lines[1]?.slice(0, -9)}\n`),
      Buffer.from(`${'x'.repeat(3 * MIB)}\n${lines[2]}\n${lines[3]}\n${lines[3]?.replace('"session.terminated"', '"session.widened"')}\n`),
    ])
    writeFileSync(path, damaged)
    const second = await opened(path)
    expect(names(second.owed)).toEqual(['a', 'c', 'd'])
    expect(second.damaged).toBe(7)
    expect(readFileSync(`${path}.damaged`).equals(damaged)).toBe(true)
    await second.close()
    expect((await opened(path)).damaged).toBe(0)
  })

  test('[STO7, STO19] the end of a line that is too long is no line of its own', async () => {
    const path = join(folder(), 'journal.jsonl')
    const long = `${'x'.repeat(MIB + 64 * 1024)}${JSON.stringify({ is: 'owed', ...end('a') })}`
    writeFileSync(path, `${long}\n${JSON.stringify({ is: 'owed', ...end('b') })}\n`)
    const journal = await opened(path)
    expect([names(journal.owed), journal.damaged]).toEqual([['b'], 1])
  })

  test('[STO7, STO19] where the file cannot be kept, opening says which and what to do', async () => {
    const dir = folder()
    await expect(Journal.open(join(dir, 'none', 'journal.jsonl'), clock)).rejects.toMatchObject({ code: 'unwritable', message: expect.stringMatching(/none\/journal\.jsonl .*its directory must exist/) })
    mkdirSync(join(dir, 'journal.jsonl'))
    await expect(Journal.open(join(dir, 'journal.jsonl'), clock)).rejects.toMatchObject({ code: 'unwritable' })
    const { disk, trouble } = troubledDisk()
    trouble.datasync = systemError('ENOSPC')
    await expect(Journal.open(join(dir, 'other.jsonl'), clock, disk)).rejects.toMatchObject({ code: 'disk_full', message: expect.stringContaining('make room') })
  })

  test('[STO7, STO19] a second process that takes the file over is noticed by the first, which leaves the file to it', async () => {
    const path = join(folder(), 'journal.jsonl')
    const [first, second] = [await opened(path), await opened(path)]
    await second.write(end('b'), true)
    await expect(first.write(end('a'), true)).rejects.toMatchObject({ code: 'in_use', message: expect.stringContaining('stateDir of its own') })
    await expect(first.write(end('c'), true)).rejects.toMatchObject({ code: 'in_use' })
    await first.close()
    await second.write(end('d'), true)
    await second.close()
    expect(names((await opened(path)).owed)).toEqual(['b', 'd'])
  })

  test('[STO7, STO19] a file removed from under it is noticed, and replaced before anything more is confirmed', async () => {
    const path = join(folder(), 'journal.jsonl')
    const journal = await opened(path)
    await journal.write(end('a'), true)
    rmSync(path)
    await expect(journal.write(end('b'), true)).rejects.toMatchObject({ code: 'unwritable' })
    await journal.write(end('c'), true)
    await journal.close()
    expect(names((await opened(path)).owed)).toEqual(['a', 'c'])
  })
})

describe('a disk that fails', () => {
  test.each([['append', 'ENOSPC', 'disk_full'], ['datasync', 'EIO', 'unwritable']] as const)('[STO7, STO19] after a failed %s (%s) nothing is confirmed before the whole file was put there afresh', async (step, code, fault) => {
    const path = join(folder(), 'journal.jsonl')
    const { disk, trouble } = troubledDisk()
    const journal = await opened(path, disk)
    await journal.write(end('a'), true)
    await journal.write(end('paid'), true)
    const { ino } = statSync(path)
    trouble[step] = systemError(code)
    const [lost, unsaid] = [journal.write(end('lost'), true), journal.write(end('unsaid'), false)]
    journal.paid(operationOf('paid'))
    await expect(lost).rejects.toMatchObject({ code: fault, message: expect.stringContaining(path) })
    await expect(unsaid).rejects.toMatchObject({ code: fault })
    await expect(journal.write(end('lost'), true)).rejects.toMatchObject({ code: fault })
    trouble[step] = null
    await journal.write(end('b'), true)
    expect(statSync(path).ino).not.toBe(ino)
    await journal.close()
    const next = await opened(path)
    expect([names(next.owed), names(next.recent), next.damaged]).toEqual([['a', 'b'], ['paid'], 0])
  })

  test('[STO7, STO19] what was paid while the disk failed is not owed after a restart, though nothing was written since', async () => {
    const path = join(folder(), 'journal.jsonl')
    const { disk, trouble } = troubledDisk()
    const journal = await opened(path, disk)
    await Promise.all([journal.write(end('a'), true), journal.write(end('b'), true)])
    trouble.datasync = systemError('EIO')
    journal.paid(operationOf('a'))
    await expect(journal.write(end('lost'), true)).rejects.toMatchObject({ code: 'unwritable' })
    trouble.datasync = null
    await journal.close()
    expect(names((await opened(path)).owed)).toEqual(['b'])
  })

  test('[STO7, STO19] a file that cannot be replaced by a smaller one is used on, and replaced later', async () => {
    const path = join(folder(), 'journal.jsonl')
    const { disk, trouble } = troubledDisk()
    const journal = await opened(path, disk)
    trouble.rename = systemError('EIO')
    const churn = async (from: number, to: number): Promise<void> => {
      for (let i = from; i < to; i++) {
        await journal.write(end(`${i}`, 'x'.repeat(100_000)), true)
        journal.paid(operationOf(`${i}`))
        pass(15 * MINUTE)
      }
    }
    await churn(0, 30)
    expect(statSync(path).size).toBeGreaterThan(2.5 * MIB)
    trouble.rename = null
    await churn(30, 60)
    expect(statSync(path).size).toBeLessThan(2.5 * MIB)
    await journal.write(end('last'), true)
    await journal.close()
    expect(names((await opened(path)).owed)).toEqual(['last'])
  })
})

describe('limits', () => {
  test('[STO7, STO19] what was said makes room for what is owed, the oldest first; 100,000 owed are the end of it until one is paid', async () => {
    const path = join(folder(), 'journal.jsonl')
    const journal = await opened(path)
    await Promise.all(Array.from({ length: 100_000 }, (_, i) => journal.write(end(`s${i}`), false)))
    expect(journal.forgotten).toBe(0)
    await journal.write(end('o'), true)
    expect([journal.forgotten, journal.recent[0]?.ref.name, names(journal.owed)]).toEqual([1, 's1', ['o']])
    await Promise.all(Array.from({ length: 99_999 }, (_, i) => journal.write(end(`o${i}`), true)))
    expect(journal.recent).toEqual([])
    await expect(journal.write(end('more'), true)).rejects.toMatchObject({ name: 'StoreFull', code: 'full', message: expect.stringContaining('bring the store back') })
    await expect(journal.write(end('intent'), false)).rejects.toMatchObject({ code: 'full' })
    await journal.write(end('o'), true)
    journal.paid(operationOf('o'))
    await journal.write(end('o0'), true)
    await journal.write(end('more'), true)
    await journal.close()
    const next = await opened(path)
    expect([next.owed.length, next.owed[0]?.ref.name, next.owed.at(-1)?.ref.name]).toEqual([100_000, 'o0', 'more'])
  })

  test('[STO7, STO19] 64 MiB owed are the end of it too, counted before they are on the disk', async () => {
    const journal = await opened(join(folder(), 'journal.jsonl'))
    const note = 'x'.repeat(MIB - 1000)
    const answers = await Promise.allSettled(Array.from({ length: 70 }, (_, i) => journal.write(end(`${i}`, note), true)))
    const refused = answers.filter(({ status }) => status === 'rejected')
    expect(refused.length).toBe(70 - journal.owed.length)
    expect(journal.owed.length).toBe(64)
    expect(refused[0]).toMatchObject({ reason: { code: 'full' } })
    await expect(journal.write(end('later', note), true)).rejects.toMatchObject({ code: 'full' })
    journal.paid(operationOf('0'))
    await journal.write(end('1', note), true)
    await journal.write(end('later', note), true)
  })
})

/** What the journal should say: the same words over plain lists. */
class Model {
  readonly owed: string[] = []
  readonly said: string[] = []
  write(name: string, owed: boolean): void {
    if (this.owed.includes(name) || (!owed && this.said.includes(name))) return
    if (this.said.includes(name)) this.said.splice(this.said.indexOf(name), 1)
    if (owed) this.owed.push(name)
    else this.said.push(name)
  }
  paid(name: string): void {
    if (!this.owed.includes(name)) return
    this.owed.splice(this.owed.indexOf(name), 1)
    this.said.push(name)
  }
}

type Step =
  | { readonly is: 'write'; readonly name: string; readonly owed: boolean; readonly waits: boolean; readonly long: boolean }
  | { readonly is: 'paid'; readonly name: string }
  | { readonly is: 'reopen'; readonly torn: number }

const name = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ is: fc.constant('write' as const), name, owed: fc.boolean(), waits: fc.boolean(), long: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ is: fc.constant('paid' as const), name }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('reopen' as const), torn: fc.nat({ max: 200 }) }) },
)

describe('whatever happens', () => {
  test('[STO7, STO19] after any writes, payments, restarts and torn lines exactly what was written and not paid is owed, in order', async () => {
    const dir = folder()
    let run = 0
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const path = join(dir, `${run++}.jsonl`)
      const model = new Model()
      let journal = await Journal.open(path, clock)
      const reopen = async (torn: number): Promise<void> => {
        await journal.close()
        appendFileSync(path, JSON.stringify({ is: 'owed', ...end('torn') }).slice(0, torn))
        journal = await Journal.open(path, clock)
        expect(told(journal.owed)).toEqual(model.owed.map(operationOf))
        expect(told(journal.recent)).toEqual(model.said.map(operationOf))
        expect(journal.damaged).toBe(0)
      }
      const take = async (move: Step): Promise<void> => {
        if (move.is === 'reopen') await reopen(move.torn)
        if (move.is === 'paid') {
          model.paid(move.name)
          journal.paid(operationOf(move.name))
        }
        if (move.is !== 'write') return
        model.write(move.name, move.owed)
        const written = journal.write(end(move.name, move.long ? 'x'.repeat(400_000) : ''), move.owed)
        if (move.waits) await written
      }
      try {
        for (const move of steps) await take(move)
        await reopen(9)
      } finally {
        await journal.close()
        rmSync(path)
      }
    }), { numRuns: 60 })
  }, 60_000)

  test('[STO7, STO19] cut off at any byte, the file gives what stood in whole lines before it', async () => {
    const path = join(folder(), 'journal.jsonl')
    const journal = await opened(path)
    for (const word of ['a', 'b', 'c']) await journal.write(end(word), true)
    journal.paid(operationOf('b'))
    await journal.close()
    const whole = readFileSync(path, 'utf8')
    for (let bytes = whole.length - 1; bytes >= 0; bytes--) {
      writeFileSync(`${path}.cut`, whole)
      truncateSync(`${path}.cut`, bytes)
      const cut = await Journal.open(`${path}.cut`, clock)
      expect(names(cut.owed)).toEqual(['a', 'b', 'c'].slice(0, whole.slice(0, bytes).split('\n').length - 1))
      expect(cut.damaged).toBe(0)
      await cut.close()
    }
  })
})

/** Stops in the middle of its n-th step, and knows what a power cut would have left of the file. */
class MortalDisk implements Disk {
  steps = 0
  renames = 0
  readonly #dies: number
  readonly #written = new Map<FileHandle, string>()
  readonly #synced = new Map<FileHandle, string>()
  #newest: FileHandle | null = null
  #named: FileHandle | null = null
  #survives: FileHandle | null = null

  constructor(dies: number) {
    this.#dies = dies
  }

  /** Only what was flushed, under a name that was flushed. */
  get afterPowerCut(): string {
    return this.#survives === null ? '' : this.#synced.get(this.#survives) ?? ''
  }

  get isDead(): boolean {
    return this.steps >= this.#dies
  }

  async append(handle: FileHandle, text: string): Promise<void> {
    await this.#step(() => SYSTEM_DISK.append(handle, text.slice(0, text.length / 2)))
    await SYSTEM_DISK.append(handle, text)
    this.#written.set(handle, `${this.#written.get(handle) ?? ''}${text}`)
    this.#newest = handle
  }

  async datasync(handle: FileHandle): Promise<void> {
    await this.#step(async () => undefined)
    this.#synced.set(handle, this.#written.get(handle) ?? '')
    this.#newest = handle
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step(async () => undefined)
    await SYSTEM_DISK.rename(from, to)
    this.renames++
    this.#named = this.#newest
  }

  async syncDirectory(): Promise<void> {
    await this.#step(async () => undefined)
    this.#survives = this.#named
  }

  async #step(half: () => Promise<void>): Promise<void> {
    if (this.isDead) throw new Error('dead')
    if (++this.steps < this.#dies) return
    await half()
    throw new Error('dies here')
  }
}

describe('an end of the process or of the power', () => {
  test('[STO7, STO19] at whichever step on the disk it ends, also in the middle of replacing the file, nothing confirmed and unpaid is lost', async () => {
    const dir = folder()
    let survived = false
    let renames = 0
    for (let dies = 1; !survived; dies++) {
      const path = join(dir, `${dies}.jsonl`)
      const disk = new MortalDisk(dies)
      const attempted: string[] = []
      const confirmed: string[] = []
      const paid = new Set<string>()
      const live = async (): Promise<void> => {
        const journal = await Journal.open(path, clock, disk)
        for (let i = 0; i < 16 && !disk.isDead; i++) {
          attempted.push(`${i}`)
          await journal.write(end(`${i}`, 'x'.repeat(200_000)), true)
          confirmed.push(`${i}`)
          pass(7 * MINUTE)
          if (i % 8 === 0) continue
          paid.add(`${i}`)
          journal.paid(operationOf(`${i}`))
        }
        await journal.close()
        survived = !disk.isDead
        renames = disk.renames
      }
      await live().catch((error: unknown) => expect(String(error)).toMatch(/dies here|dead/))
      await copyFile(path, `${path}.killed`).catch(() => writeFileSync(`${path}.killed`, ''))
      writeFileSync(`${path}.power`, disk.afterPowerCut)
      for (const left of [`${path}.killed`, `${path}.power`]) {
        const journal = await Journal.open(left, clock)
        const owed = names(journal.owed)
        expect(owed).toEqual(attempted.filter(word => owed.includes(word)))
        expect(confirmed.filter(word => !paid.has(word) && !owed.includes(word))).toEqual([])
        expect(journal.damaged).toBe(0)
        await journal.close()
        rmSync(left)
      }
      rmSync(path, { force: true })
    }
    expect(renames).toBeGreaterThan(1)
  }, 60_000)

  test('[STO7, STO19] killed at any instant, a process finds again everything it had been told is kept', async () => {
    const dir = folder()
    const source = new URL('../../../src/sessions/journal.ts', import.meta.url).href
    const path = join(dir, 'journal.jsonl')
    const program = `
      import { writeSync } from 'node:fs'
      import { Journal } from ${JSON.stringify(source)}
      const round = process.argv[1]
      let time = ${START}
      const journal = await Journal.open(${JSON.stringify(path)}, () => time)
      for (let i = 0; ; i++) {
        const name = round + '.' + i
        const news = { kind: 'session.terminated', reason: 'revoked', id: 'sig_' + name, by: 'ann', note: 'x'.repeat(150_000) }
        await journal.write({ ref: { kind: 'session', name }, news, at: time }, true)
        time += 7 * ${MINUTE}
        if (i % 20 === 0) writeSync(1, name + '\\n')
        else journal.paid('sig_' + name + ':session/' + name)
      }`
    const kept: string[] = []
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, '--', `${round}`], { stdio: ['ignore', 'pipe', 'inherit'] })
      const gone = once(child, 'exit')
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (part: string) => {
        text += part
        if (text.split('\n').length === 2 + round) setTimeout(() => child.kill('SIGKILL'), round * 7)
      })
      await gone
      kept.push(...text.split('\n').slice(0, -1))
      const journal = await Journal.open(path, clock)
      expect(names(journal.owed).filter(word => kept.includes(word))).toEqual(kept)
      expect(journal.damaged).toBe(0)
      await journal.close()
    }
    expect(kept.length).toBeGreaterThanOrEqual(6)
  }, 60_000)
})
