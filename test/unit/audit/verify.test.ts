import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { trailFiles } from '../../../src/audit/tail.ts'
import type { Head } from '../../../src/audit/record.ts'
import { verifyTrail } from '../../../src/audit/verify.ts'
import { birth, closed, folder, frozen, opened, openTrail, outgoing } from './samples.ts'

type Written = { readonly dir: string; readonly files: readonly string[]; readonly texts: readonly (readonly string[])[]; readonly head: Head }

/** Three files of some lines each. */
async function written(): Promise<Written> {
  const dir = folder()
  const file = join(dir, 'trail.jsonl')
  const trail = await openTrail(file, { maxBytes: 4000 })
  trail.fact(outgoing(birth(1), 1))
  trail.fact(outgoing(frozen(2), 2))
  for (let i = 0; i < 8; i++) {
    trail.opened(opened({ exchange: `exc_${i}`, path: `/v1/ü/${i}` }), true)
    trail.closed(closed({ exchange: `exc_${i}` }))
    trail.flushNow()
  }
  await trail.close()
  const files = trailFiles(file)
  return { dir, files, texts: files.map(one => readFileSync(one, 'utf8').split('\n').slice(0, -1)), head: trail.head }
}

const write = ({ files }: Written, texts: readonly (readonly string[])[]): void =>
  files.forEach((file, i) => writeFileSync(file, (texts[i] ?? []).map(text => `${text}\n`).join('')))

const names = ['trail.jsonl.1', 'trail.jsonl.2', 'trail.jsonl']
const withLine = (texts: Written['texts'], file: number, change: (lines: readonly string[]) => readonly string[]): Written['texts'] =>
  texts.map((lines, i) => (i === file ? change(lines) : lines))

/** A place in the files: file and line, from 0. */
const placeIn = (texts: Written['texts']) =>
  fc.nat({ max: texts.flat().length - 1 }).map(n => {
    let file = 0
    for (let left = n; ; file++) {
      const count = texts[file]?.length ?? 0
      if (left < count) return { file, line: left }
      left -= count
    }
  })

const flipped = (text: string, at: number): string => {
  const i = at % text.length
  const code = text.charCodeAt(i)
  return text.slice(0, i) + String.fromCharCode(code === 0x30 ? 0x31 : 0x30) + text.slice(i + 1)
}

describe('verify', () => {
  test('[AUD6] what was written is whole, in all its files', async () => {
    const w = await written()
    expect(w.files).toHaveLength(3)
    expect(await verifyTrail(w.files, w.head)).toEqual({ ok: true, records: w.texts.flat().length, sessions: 1, unsealed: 0, problem: null })
    expect(await verifyTrail(w.files, null)).toMatchObject({ ok: true, unsealed: w.texts.flat().length })
  })

  test('[AUD6] any changed line is found and named', async () => {
    const w = await written()
    await fc.assert(fc.asyncProperty(placeIn(w.texts), fc.nat({ max: 2000 }), async ({ file, line }, at) => {
      write(w, withLine(w.texts, file, lines => lines.map((text, i) => (i === line ? flipped(text, at) : text))))
      const { ok, problem } = await verifyTrail(w.files, w.head)
      expect({ ok, file: problem?.file, line: problem?.line }).toEqual({ ok: false, file: names[file], line: line + 1 })
    }), { numRuns: 300 })
  })

  test('[AUD6] any removed line is found and the missing record named', async () => {
    const w = await written()
    await fc.assert(fc.asyncProperty(placeIn(w.texts), async ({ file, line }) => {
      const seq = (JSON.parse(w.texts[file]?.[line] ?? '') as { seq: number }).seq
      write(w, withLine(w.texts, file, lines => lines.filter((_, i) => i !== line)))
      const { problem } = await verifyTrail(w.files, w.head)
      expect(problem?.seq).toBe(seq)
    }), { numRuns: 60 })
  })

  test('[AUD6] any two lines that changed places are found at the first', async () => {
    const w = await written()
    await fc.assert(fc.asyncProperty(placeIn(w.texts), placeIn(w.texts), async (a, b) => {
      const [first, second] = a.file < b.file || (a.file === b.file && a.line < b.line) ? [a, b] : [b, a]
      fc.pre(first.file !== second.file || first.line !== second.line)
      fc.pre(first.file + first.line > 0 || second.line > 0) // a rotation may open the files: then the line after it is named
      const texts = w.texts.map(lines => [...lines])
      const [x, y] = [w.texts[first.file]?.[first.line] ?? '', w.texts[second.file]?.[second.line] ?? '']
      texts[first.file]?.splice(first.line, 1, y)
      texts[second.file]?.splice(second.line, 1, x)
      write(w, texts)
      const { problem } = await verifyTrail(w.files, w.head)
      expect({ file: problem?.file, line: problem?.line }).toEqual({ file: names[first.file], line: first.line + 1 })
    }), { numRuns: 100 })
  })

  test('[AUD6] any line that stands twice is found at the second', async () => {
    const w = await written()
    await fc.assert(fc.asyncProperty(placeIn(w.texts), async ({ file, line }) => {
      write(w, withLine(w.texts, file, lines => lines.flatMap((text, i) => (i === line ? [text, text] : [text]))))
      const { problem } = await verifyTrail(w.files, w.head)
      expect({ file: problem?.file, line: problem?.line }).toEqual({ file: names[file], line: line + 2 })
    }), { numRuns: 60 })
  })

  test('[AUD6] without a head a missing last line is not seen, with one it is', async () => {
    const w = await written()
    const last = w.texts[2]?.length ?? 0
    write(w, withLine(w.texts, 2, lines => lines.slice(0, -1)))
    expect((await verifyTrail(w.files, null)).ok).toBe(true)
    expect((await verifyTrail(w.files, w.head)).problem).toMatchObject({ file: 'trail.jsonl', line: last, seq: w.head.seq, what: expect.stringContaining('missing at the end') as string })
    write(w, withLine(w.texts, 2, () => []))
    expect((await verifyTrail(w.files, w.head)).ok).toBe(false)
  })

  test('[AUD6] records after the head are unsealed', async () => {
    const w = await written()
    const early = JSON.parse(w.texts[0]?.[3] ?? '') as { seq: number; prev: string }
    expect(await verifyTrail(w.files, { file: 'trail.jsonl', seq: early.seq - 1, hash: early.prev })).toMatchObject({ ok: true, unsealed: w.texts.flat().length - 3 })
    expect((await verifyTrail(w.files, { file: 'trail.jsonl', seq: early.seq - 1, hash: 'other' })).problem).toMatchObject({ line: 3, seq: 3 })
  })

  test('[AUD6] files may begin at a rotation and nowhere else', async () => {
    const w = await written()
    expect((await verifyTrail(w.files.slice(1), w.head)).ok).toBe(true)
    write(w, withLine(w.texts, 1, lines => lines.slice(1)))
    expect((await verifyTrail(w.files.slice(1), w.head)).problem).toMatchObject({ file: 'trail.jsonl.2', line: 1 })
  })

  test('[AUD6] a torn last line, a missing file and an empty trail are told apart', async () => {
    const w = await written()
    expect(await verifyTrail([join(w.dir, 'none')], null)).toMatchObject({ ok: false, problem: { file: 'none', line: 0 } })
    appendFileSync(w.files[2] ?? '', '{"seq":')
    expect((await verifyTrail(w.files, w.head)).problem).toMatchObject({ file: 'trail.jsonl', what: 'the last line has no end' })
    const empty = join(w.dir, 'empty')
    writeFileSync(empty, '')
    expect(await verifyTrail([empty], null)).toMatchObject({ ok: true, records: 0 })
    expect((await verifyTrail([empty], w.head)).problem).toMatchObject({ line: 1, seq: 1 })
  })
})
