// What security event tokens say of their stream itself, and what reading them needs to know of it. SPEC: SSF5, SSF6, SSF9
import type { StreamStatus } from '../../core/anchor.ts'
import type { Instant } from '../../core/time.ts'
import type { Metadata } from './streams/metadata.ts'

export interface StreamNews {
  /** A verification event; `state` null where it named none. `wrong`: nobody asked with that state; that it was heard is told apart. Rejects where the store does not answer. */
  verified(source: string, state: string | null): Promise<'heard' | 'wrong'>
  /** stream-updated. Rejects where the store does not take it. @param at when the transmitter says it was; to the second */
  updated(source: string, status: StreamStatus, at: Instant): Promise<void>
  /** Any event of it that counted, and was issued no longer ago than it may be silent. Never throws, and nobody waits for it. */
  heard(source: string): void
  /** What `aud` must be one of, of a stream that is managed here; null where it is not known yet: the sender is told to try again. */
  audienceOf(source: string): readonly string[] | null
  /** What a transmitter sends as Authorization on push; null where it is not known yet, and nothing is let in. */
  authorizationOf(source: string): string | null
  /** Of its issuer, as it was read last, an hour ago at most; asked for where it was not yet. @throws HttpFault, MetadataFault */
  metadataOf(source: string): Promise<Metadata>
}
