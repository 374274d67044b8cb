// Asks one place for one ticket, as the configuration names it. What it answers counts only for the ticket that was asked for, spelled as the answer
// spells it. Nothing of an answer but what is mapped is kept. SPEC: TKT1
import type { PollSettings } from '../../config/compile/connectors.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import { type HttpClient, HttpFault } from '../../runtime/http-client.ts'
import { mapped, type Ticket } from './mapping.ts'
import { filled } from './template.ts'

/** As its anchor names it. */
export type Asked = { readonly tenant: string; readonly id: string }

/** `absent`: there is none, or it is another one now. */
type Answered = { readonly is: 'ticket'; readonly ticket: Ticket } | { readonly is: 'absent'; readonly says: string }

/** What is sent along: read from files when the configuration is loaded. */
export type Access = { readonly authorization: string | null; readonly ca: string | null }

const ANSWER_BYTES = 1024 * 1024
const REMEMBERED = 10_000

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new HttpFault('not_json', 'the answer is not JSON', 200)
  }
}

export class TicketSource {
  readonly #settings: PollSettings
  readonly #access: Access
  readonly #http: Pick<HttpClient, 'ask'>
  /** What was answered under an entity tag, by URL: asked for again only where it is another. */
  readonly #tagged = new BoundedMap<string, { readonly etag: string; readonly answered: Answered }>(REMEMBERED)

  constructor(settings: PollSettings, access: Access, http: Pick<HttpClient, 'ask'>) {
    this.#settings = settings
    this.#access = access
    this.#http = http
  }

  /** @throws HttpFault where nothing that counts was answered */
  async ask(asked: Asked): Promise<Answered> {
    const { url: template, headers, timeout } = this.#settings
    const url = filled(template, asked)
    if (url === null) return { is: 'absent', says: 'it cannot be asked for' }
    const tagged = this.#tagged.get(url.href)
    const { authorization, ca } = this.#access
    const sent = { ...headers, ...(authorization === null ? {} : { authorization }), ...(tagged === undefined ? {} : { 'if-none-match': tagged.etag }) }
    const { status, etag, text } = await this.#http.ask(url, { method: 'GET', body: null, headers: sent, ca, statuses: [200, 404, 410, ...(tagged === undefined ? [] : [304])] }, { timeout, bytes: ANSWER_BYTES }, 'open')
    if (status === 304 && tagged !== undefined) return tagged.answered
    const answered: Answered = status === 200 ? this.#read(asked, jsonOf(text)) : { is: 'absent', says: 'not found' }
    if (status === 200 && etag !== null) this.#tagged.set(url.href, { etag, answered })
    else this.#tagged.delete(url.href)
    return answered
  }

  #read({ tenant, id }: Asked, message: unknown): Answered {
    const read = mapped(this.#settings.map, message)
    if (read.is === 'fault') throw new HttpFault('not_json', `the answer cannot be mapped: ${read.of}`, 200)
    return read.ticket.id === id && read.ticket.tenant === tenant ? read : { is: 'absent', says: 'it is another ticket' }
  }
}
