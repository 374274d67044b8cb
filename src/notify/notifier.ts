// Tells people, by the channels they are named; decides nothing, and nobody waits for it. A notice arrives once or more often, or is counted as
// failed or dropped. SPEC: NOT1, NOT2
import type { Channels } from './channel.ts'
import { fitting, type Notice } from './notice.ts'
import { type Pace, PACE } from './pace.ts'
import { Postbox, type PostTools } from './postbox.ts'

export class Notifier {
  readonly #tools: PostTools
  readonly #pace: Pace
  readonly #boxes = new Map<string, Postbox>()
  #stopped = false

  constructor({ channels, ...tools }: PostTools & { readonly channels: Channels }, pace: Pace = PACE) {
    this.#tools = tools
    this.#pace = pace
    this.swap(channels)
  }

  /** Never throws and never waits. */
  tell(channelNames: readonly string[], message: Notice): void {
    try {
      const notice = fitting(message)
      for (const name of new Set(channelNames)) this.#put(name, notice)
    } catch (error) {
      this.#tools.log.error({ event: message.event, notice: message.id, err: error }, 'a notice could not be told')
    }
  }

  /** What waits for a channel stays with it; what waits for one that is gone is dropped. */
  swap(channels: Channels): void {
    for (const [name, box] of this.#boxes) {
      if (channels.has(name)) continue
      this.#boxes.delete(name)
      box.close()
    }
    for (const [name, channel] of channels) {
      const box = this.#boxes.get(name)
      if (box === undefined) this.#boxes.set(name, new Postbox(name, channel, this.#tools, this.#pace))
      else box.replace(channel)
    }
  }

  /** Gives what waits one more attempt each, and a short time for all; before the HTTP client closes. */
  async stop(): Promise<void> {
    this.#stopped = true
    const boxes = [...this.#boxes.values()]
    const over = Promise.withResolvers<void>()
    const timer = setTimeout(over.resolve, this.#pace.stop)
    await Promise.race([Promise.all(boxes.map(box => box.drain())), over.promise])
    clearTimeout(timer)
    for (const box of boxes) box.close()
  }

  #put(name: string, notice: Notice): void {
    const box = this.#stopped ? undefined : this.#boxes.get(name)
    if (box === undefined) this.#tools.log.warn({ channel: name, event: notice.event, notice: notice.id }, 'a notice was not told: there is no such channel, or it is closed')
    else box.put(notice)
  }
}
