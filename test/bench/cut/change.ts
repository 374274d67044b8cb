// One change at one gateway, exchanges open at the other: from the operator's first byte to the last byte, Close frame or RST_STREAM at the caller, and to the acknowledgement.
// Three ways to take the same right: narrowed to the baseline, ended with its session, ended with the ticket it stands on.
import { type Caller, newCaller } from './caller.ts'
import type { OpenStream } from './open-stream.ts'
import type { Operator, Word } from './operator.ts'
import { openerOf, type Protocol } from './protocols.ts'
import type { GatewayChild, Site } from './site.ts'

function cuts(operator: Operator, { session, ticket }: Caller, round: number): Promise<Word> {
  const ways = [`/v1/sessions/${session}/narrow`, `/v1/sessions/${session}/terminate`] as const
  return operator.cuts(ways[round % 3] ?? `/v1/anchors/ticket/${ticket}`, round % 3 < ways.length ? {} : { state: 'ended' })
}

/** Milliseconds. `counted`: the acknowledgement told of every exchange that ended. */
export type Change = { readonly lastByte: number; readonly acknowledged: number; readonly took: number; readonly counted: boolean }

export type Scene = { readonly site: Site; readonly here: GatewayChild; readonly there: GatewayChild }

/** A fresh session with these exchanges open at `there`, over HTTP/2 on one connection; the word is given at `here`. */
export async function measureChange({ site, there }: Scene, protocol: Protocol, paths: readonly string[], operator: Operator, round: number): Promise<Change> {
  const caller = await newCaller(there.ports.main, site.issuer, operator)
  const open = openerOf(protocol, there.ports, caller, 1)
  const streams: OpenStream[] = []
  try {
    for (const path of paths) streams.push(await open(path))
    if (streams.some(stream => stream.isOver())) throw new Error(`round ${round}: an exchange ended before the change`)
    const word = await cuts(operator, caller, round)
    const ended = await Promise.all(streams.map(stream => stream.ended))
    return { lastByte: Math.max(...ended) - word.sentAt, acknowledged: word.answeredAt - word.sentAt, took: word.tookMs, counted: word.cut === paths.length }
  } finally {
    for (const stream of streams) stream.close()
  }
}
