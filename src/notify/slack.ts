// A notice as a message of a Slack incoming webhook: its line, and a button that is a link and no more. The address is the secret. SPEC: NOT1
import type { Channel, Letter } from './channel.ts'
import { cut, type Notice } from './notice.ts'

/** Of a text object, in characters. */
const TEXT_MAX = 3_000

const ESCAPES: ReadonlyMap<string, string> = new Map([['&', '&amp;'], ['<', '&lt;'], ['>', '&gt;']])

/** An escape has at most five characters, so what is cut before it stays within the limit after it. */
const escaped = (text: string): string => cut(text, TEXT_MAX / 5).replace(/[&<>]/g, char => ESCAPES.get(char) ?? '')

/** Plain text has no formatting, and no links or mentions that somebody who asks could write. */
const plainText = (text: string): object => ({ type: 'plain_text', text, emoji: false })

const button = (url: string): object => ({ type: 'actions', elements: [{ type: 'button', action_id: 'open_console', text: plainText('Open in the console'), url }] })

export class SlackChannel implements Channel {
  readonly kind = 'slack'
  readonly #url: URL

  constructor(url: URL) {
    this.#url = url
  }

  letter({ text, link }: Notice): Letter {
    const line = escaped(text)
    const section = { type: 'section', text: plainText(line) }
    const body = JSON.stringify({ text: line, blocks: link === null ? [section] : [section, button(link)], unfurl_links: false, unfurl_media: false })
    return { url: this.#url, ca: null, headers: { 'content-type': 'application/json' }, body }
  }
}
