// Very many exchanges of one session in one gateway process, ended by one word at the other gateway.
import { newCaller, openStream, type OpenStream } from './caller.ts'
import type { Scene } from './change.ts'
import type { Watched } from './gateway-process.ts'
import type { Operator } from './operator.ts'

const OPENED_AT_ONCE = 64

export type Crowd = {
  readonly exchanges: number
  /** From the operator's first byte: until the gateway had nothing open, until the acknowledgement, until the last caller had its last byte. Milliseconds. */
  readonly emptyMs: number
  readonly acknowledgedMs: number
  /** Did it say so itself, or did its lease run out first? */
  readonly saidSo: boolean
  readonly allCutMs: number
  /** Longest time for which the cutting gateway's event loop answered nothing. */
  readonly maxStallMs: number
  /** Processor time that process took meanwhile. */
  readonly processorMs: number
}

async function openMany(port: number, caller: Awaited<ReturnType<typeof newCaller>>, exchanges: number, streams: OpenStream[]): Promise<void> {
  const next = async (): Promise<void> => {
    while (streams.length + opening < exchanges) {
      opening++
      const stream = await openStream(port, '/sse?every=20000', caller)
      opening--
      streams.push(stream)
    }
  }
  let opening = 0
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, next))
}

export async function measureCrowd({ site, there }: Scene, operator: Operator, exchanges: number): Promise<Crowd> {
  const caller = await newCaller(there.ports.main, site.issuer, operator)
  const streams: OpenStream[] = []
  try {
    await openMany(there.ports.main, caller, exchanges, streams)
    const open = await there.child.figure('open')
    if (open !== exchanges) throw new Error(`${open} exchanges are open, not ${exchanges}`)
    await there.child.ask('watch')
    const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now()
    const word = await operator.cuts(`/v1/sessions/${caller.session}/terminate`)
    const ended = await Promise.all(streams.map(stream => stream.ended))
    const { maxStallMs, emptyAt, userMs, systemMs } = (await there.child.ask('watched')) as Watched // as gateway-process.ts tells it
    return { exchanges, emptyMs: emptyAt - offset - word.sentAt, acknowledgedMs: word.answeredAt - word.sentAt, saidSo: word.expired === 0, allCutMs: ended.reduce((last, at) => Math.max(last, at)) - word.sentAt, maxStallMs, processorMs: userMs + systemMs }
  } finally {
    for (const stream of streams) stream.close()
  }
}
