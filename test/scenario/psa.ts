// The service provider's ticket system of S20: has changes of customers, tells of them, and takes notes. For tests only.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestGateway } from '../support/gateway.ts'
import { TicketSource } from '../support/ticket-source.ts'
import { told, useSecrets } from './news.ts'
import type { Adapted } from './stage.ts'

const change = (company: string, number: string, status: string): object => ({ company, number, status, type: 'change' })

export class Psa {
  readonly #source: TicketSource

  private constructor(source: TicketSource) {
    this.#source = source
  }

  static async start(): Promise<Psa> {
    return new Psa(await TicketSource.start())
  }

  close(): Promise<void> { return this.#source.close() }

  /** Notes it took so far: of which change, and their text. */
  get notes(): readonly (readonly [path: string, text: unknown])[] { return this.#source.notes.map(({ path, body }) => [path, body['text']]) }

  /** What it says when it is asked. */
  has(company: string, number: string, status: string): void {
    this.#source.tickets.set(`/v1/companies/${company}/changes/${number}`, change(company, number, status))
  }

  /** The same, told at once to this gateway. */
  async becomes(gate: TestGateway, company: string, number: string, status: string): Promise<void> {
    this.has(company, number, status)
    await told(gate, 'psa', change(company, number, status))
  }

  /** As `Staging.adapt`: the example asks this one. */
  readonly stands = (example: Adapted, directory: string): void => {
    useSecrets(example, directory)
    const { psa } = example['tickets']
    psa.url = psa.url.replace('https://psa.example', this.#source.origin)
    psa.note.url = psa.note.url.replace('https://psa.example', this.#source.origin)
    psa.tokenFile = join(directory, 'psa-token')
    writeFileSync(psa.tokenFile, 'the-gateway', { mode: 0o600 })
  }
}
