// The operator of a gateway's row: a token file with one entry, and the one admin call the bench needs.
import { hash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type Operator = { readonly tokenFile: string; /** Gives the operator's word that the ticket is open. */ readonly openTicket: (adminPort: number, ticket: string) => Promise<void> }

export function makeOperator(folder: string): Operator {
  const token = `nga_${randomBytes(32).toString('base64url')}`
  const tokenFile = join(folder, 'admin-tokens.json')
  const entry = { name: 'bench', sha256: hash('sha256', token), roles: ['operator', 'admin'], identity: 'file|bench' }
  writeFileSync(tokenFile, JSON.stringify({ tokens: [entry] }), { mode: 0o600 })
  const openTicket = async (adminPort: number, ticket: string): Promise<void> => {
    const response = await fetch(`http://127.0.0.1:${adminPort}/v1/anchors/ticket/${ticket}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ state: 'open', reason: 'bench' }),
      signal: AbortSignal.timeout(5_000),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`narrowgate: opening the ticket was answered ${response.status}: ${text}`)
  }
  return { tokenFile, openTicket }
}
