// A message on its way upstream: each piece behind its gate, in its turn, none twice, and its end behind them. SPEC: MCP6, ENF2
import { expect, it } from 'vitest'
import { MessageUpload } from '../../../../../src/proxy/mcp/relay/message-upload.ts'

const PIECE = 65_536

/** A gate, a purse and an upstream, as the test has them. */
function stage(bytes: number) {
  const is = { passes: true, pays: true, takes: true, doubts: 0, handed: 0, written: 0, ends: 0, whole: 0 }
  const sending = {
    write: ({ length }: Buffer) => {
      is.written += length
      return is.takes
    },
    end: () => void is.ends++, pause: () => {}, resume: () => {}, abort: () => {},
  }
  const upload = new MessageUpload(Buffer.alloc(bytes, 'x'), sending, {
    get passes() { return is.passes },
    pays: () => is.pays,
    doubt: () => void is.doubts++,
    handing: ({ length }) => void (is.handed += length),
    handed: () => void is.whole++,
  })
  return { is, upload }
}

it('[MCP6] goes in one piece, and its end behind it', () => {
  const { is, upload } = stage(20)
  upload.release()
  upload.release()
  expect([is.written, is.handed, is.ends, is.whole, upload.finished]).toEqual([20, 20, 1, 1, true])
})

it('[MCP6] waits behind a closed gate, and before each further piece', () => {
  const { is, upload } = stage(2 * PIECE + 5)
  is.passes = false
  upload.release()
  expect([is.written, is.doubts, upload.finished]).toEqual([0, 1, false])
  is.passes = true
  is.takes = false
  upload.release()
  expect([is.written, is.ends]).toEqual([PIECE, 0])
  is.passes = false
  is.takes = true
  upload.drained()
  expect([is.written, is.doubts]).toEqual([PIECE, 2])
  is.passes = true
  upload.release()
  expect([is.written, is.handed, is.ends]).toEqual([2 * PIECE + 5, 2 * PIECE + 5, 1])
})

it('[MCP6] takes no piece that is not paid for', () => {
  const { is, upload } = stage(PIECE + 1)
  is.pays = false
  upload.release()
  expect([is.written, is.handed]).toEqual([0, 0])
  is.pays = true
  upload.release()
  expect(is.written).toBe(PIECE + 1)
})

it('[MCP6] that is stopped goes no further', () => {
  const { is, upload } = stage(2 * PIECE)
  is.takes = false
  upload.release()
  upload.stop()
  upload.drained()
  expect([is.written, is.ends, is.whole]).toEqual([PIECE, 0, 0])
})
