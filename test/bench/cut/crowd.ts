// Very many exchanges of one session in one gateway process, ended by one word at the other gateway.
import { newCaller } from './caller.ts'
import type { Scene } from './change.ts'
import type { Watched } from './gateway-process.ts'
import type { OpenStream } from './open-stream.ts'
import type { Operator } from './operator.ts'
import { connectionsFor, type Opener, openerOf, pathOf, type Protocol } from './protocols.ts'

const OPENED_AT_ONCE = 64

export type Crowd = {
  readonly exchanges: number
  /** Of callers. */
  readonly connections: number
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

async function openMany(open: Opener, path: string, exchanges: number, streams: OpenStream[]): Promise<void> {
  const next = async (): Promise<void> => {
    while (streams.length + opening < exchanges) {
      opening++
      const stream = await open(path)
      opening--
      streams.push(stream)
    }
  }
  let opening = 0
  await Promise.all(Array.from({ length: OPENED_AT_ONCE }, next))
}

export async function measureCrowd({ site, there }: Scene, protocol: Protocol, operator: Operator, exchanges: number): Promise<Crowd> {
  const caller = await newCaller(there.ports.main, site.issuer, operator)
  const connections = connectionsFor(exchanges)
  const streams: OpenStream[] = []
  try {
    await openMany(openerOf(protocol, there.ports, caller, connections), pathOf(protocol, 20_000), exchanges, streams)
    const open = await there.child.figure('open')
    if (open !== exchanges) throw new Error(`${open} exchanges are open, not ${exchanges}`)
    await there.child.ask('watch')
    const offset = Number(process.hrtime.bigint()) / 1e6 - performance.now()
    const word = await operator.cuts(`/v1/sessions/${caller.session}/terminate`)
    const ended = await Promise.all(streams.map(stream => stream.ended))
    const { maxStallMs, emptyAt, userMs, systemMs } = (await there.child.ask('watched')) as Watched // as gateway-process.ts tells it
    return { exchanges, connections: protocol === 'http2' ? connections : exchanges, emptyMs: emptyAt - offset - word.sentAt, acknowledgedMs: word.answeredAt - word.sentAt, saidSo: word.expired === 0, allCutMs: ended.reduce((last, at) => Math.max(last, at)) - word.sentAt, maxStallMs, processorMs: userMs + systemMs }
  } finally {
    for (const stream of streams) stream.close()
  }
}
