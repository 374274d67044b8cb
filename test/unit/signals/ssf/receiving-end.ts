// A receiver of one transmitter, with the configuration as it is read and with real keys; what it takes and tells is remembered.
import { createHmac } from 'node:crypto'
import type { OutsideEvent } from '../../../../src/core/outside.ts'
import { instant } from '../../../../src/core/time.ts'
import { aliasing } from '../../../../src/identity/aliases.ts'
import { keysOfText } from '../../../../src/identity/keys.ts'
import { EventTokens } from '../../../../src/identity/security-event-token.ts'
import { Receiver } from '../../../../src/signals/ssf/receiver.ts'
import type { EventSource } from '../../../../src/signals/ssf/open-sources.ts'
import { TokenIssuer } from '../../../support/token-issuer.ts'
import { loaded, SMALL } from '../../config/fixture.ts'

export const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
export const SSF = 'https://schemas.openid.net/secevent/ssf/event-type/'

export type Claims = { readonly [name: string]: unknown }

export class ReceivingEnd {
  readonly issuer: TokenIssuer
  readonly settings: EventSource['settings']
  readonly receiver: Receiver
  now: number
  readonly taken: OutsideEvent[] = []
  readonly counted: string[] = []
  readonly refused: string[] = []
  readonly unread: string[] = []
  readonly verified: (string | null)[] = []
  readonly updated: (readonly [string, number])[] = []
  heard = 0
  /** What its metadata says a receiver must understand; null: it cannot be asked for. */
  critical: readonly string[] | null = []
  isKnownState = true
  take: (event: OutsideEvent) => Promise<{ readonly is: 'taken' | 'again' }> = event => {
    this.taken.push(event)
    return Promise.resolve({ is: 'taken' })
  }
  readonly #marks = new Set<string>()

  private constructor(issuer: TokenIssuer, now: number, { settings, text }: { readonly settings: EventSource['settings']; readonly text: string }) {
    this.issuer = issuer
    this.settings = settings
    this.now = now
    const clock = { now: () => instant(this.now), elapsed: () => 0 }
    const tokens = new EventTokens({ issuer: issuer.issuer, algorithms: ['EdDSA'], audience: () => settings.audience }, keysOfText(text), clock)
    this.receiver = new Receiver({
      clock, sources: () => new Map([[settings.name, { settings, tokens, authorization: null }]]), take: event => this.take(event),
      naming: { alias: aliasing(createHmac('sha256', 'key').update('').digest()), folds: () => false },
      count: (_, event, outcome) => this.counted.push(`${event} ${outcome}`), refused: (source, fault, address) => this.refused.push([source, fault, address].filter(part => part !== '').join(' ')),
      unread: (_, type, { jti }, what) => this.unread.push([type, jti, ...what].join(' ')),
      store: { mark: digest => Promise.resolve(this.#marks.size === this.#marks.add(digest).size ? 'again' : 'first') },
      news: {
        verified: (_, state) => Promise.resolve(this.verified.push(state) > 0 && this.isKnownState ? 'heard' : 'wrong'),
        updated: async (_, status, at) => { this.updated.push([status, at]) },
        heard: () => { this.heard++ }, audienceOf: () => null, authorizationOf: () => null,
        metadataOf: () => (this.critical === null ? Promise.reject(new Error('down')) : Promise.resolve({ issuer: '', version: '', jwksUri: null, configuration: null, status: null, addSubject: null, verification: null, wantsSubjects: false, critical: this.critical })),
      },
    })
  }

  /** @param more YAML of the transmitter. @param now milliseconds */
  static async open(more = '', { issuer: name = 'https://idp.example', audience = 'https://gw.example', now = Date.parse('2026-11-23T12:00:00Z') } = {}): Promise<ReceivingEnd> {
    const issuer = await TokenIssuer.create({ issuer: name, audience })
    const settings = loaded(`${SMALL}\nsignals: { ssf: [{ name: idp, transmitter: "${name}", delivery: poll, audience: "${audience}"${more === '' ? '' : `, ${more}`} }] }`).ssf.get('idp')
    if (settings === undefined) throw new Error('it is not there')
    return new ReceivingEnd(issuer, now, { settings, text: JSON.stringify(issuer.jwks()) })
  }

  get iat(): number { return Math.floor(this.now / 1000) }

  claims(event: string, details: Claims = {}, more: Claims = {}): Claims {
    return { iss: this.issuer.issuer, aud: this.issuer.audience, jti: `j-${Math.random()}`, iat: this.iat, sub_id: { format: 'iss_sub', iss: this.issuer.issuer, sub: 'ann' }, events: { [event.includes(':') ? event : CAEP + event]: details }, ...more }
  }

  async receive(claims: Claims, address = '') { return this.receiver.receive('idp', await this.issuer.signText(JSON.stringify(claims), { typ: 'secevent+jwt' }), address) }
  send(event: string, details: Claims = {}, more: Claims = {}) { return this.receive(this.claims(event, details, more)) }
}
