// A notice as a Standard Webhooks message. Its id comes from the notice alone and stays the same however often it is sent. SPEC: NOT1
import type { Instant } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'
import { signedWebhook } from '../runtime/standard-webhook.ts'
import type { Channel, Letter } from './channel.ts'
import type { Notice } from './notice.ts'

export class WebhookChannel implements Channel {
  readonly kind = 'webhook'
  readonly #url: URL
  readonly #ca: string | null
  readonly #secrets: readonly Uint8Array[]

  /** `ca` is PEM certificates to trust, null trusts the system's; each of the secrets signs. */
  constructor(url: URL, ca: string | null, secrets: readonly Uint8Array[]) {
    this.#url = url
    this.#ca = ca
    this.#secrets = secrets
  }

  letter({ id, event, at, text, link, data }: Notice, now: Instant): Letter {
    const body = JSON.stringify({ type: event, timestamp: new Date(at).toISOString(), data: { ...data, text, link } })
    return { url: this.#url, ca: this.#ca, headers: { 'content-type': 'application/json', ...signedWebhook(`ntc_${sha256(id)}`, now, body, this.#secrets) }, body }
  }
}
