// Where notices go: a way to write them down for one receiver. SPEC: NOT1
import type { Instant } from '../core/time.ts'
import type { Notice } from './notice.ts'

export type ChannelKind = 'webhook' | 'slack'

/** What is posted. */
export type Letter = { readonly url: URL; readonly ca: string | null; readonly headers: { readonly [name: string]: string }; readonly body: string }

export interface Channel {
  readonly kind: ChannelKind
  /** Made for each attempt: a signature is of its time. */
  letter(notice: Notice, now: Instant): Letter
}

export type Channels = ReadonlyMap<string, Channel>
