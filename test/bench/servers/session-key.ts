// Where the authoriser's Redis keeps a session: under the SHA-256 of its token.
import { hash } from 'node:crypto'

export const keyOf = (token: string): string => `session:${hash('sha256', token)}`
