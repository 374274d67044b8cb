// What the outside tells a scenario: signed messages to the webhooks of an example. For tests only.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestGateway } from '../support/gateway.ts'
import { deliver, type Delivery, WEBHOOK_SECRET } from '../support/ticket-source.ts'
import type { Adapted } from './stage.ts'

/** Gives every webhook of the example the secret that tests sign with. */
export function useSecrets(example: Adapted, directory: string): void {
  for (const webhook of example['signals']?.webhooks ?? []) {
    webhook.secretFile = join(directory, `hook-${webhook.name}`)
    writeFileSync(webhook.secretFile, WEBHOOK_SECRET, { mode: 0o600 })
  }
}

/** Sends a message to a webhook of this gateway; its status. 204: taken, and in force everywhere. */
export const tells = ({ gateway }: TestGateway, name: string, message: object, delivery: Delivery = {}): Promise<number> =>
  deliver(gateway.front.bound.get('news')?.address.port ?? 0, name, message, delivery)

/** The same, where anything but 204 is a fault. */
export async function told(gate: TestGateway, name: string, message: object): Promise<void> {
  const status = await tells(gate, name, message)
  if (status !== 204) throw new Error(`the webhook ${name} answered ${status}`)
}
