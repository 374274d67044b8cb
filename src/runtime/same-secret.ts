// Whether somebody shows a secret that we know. It takes the same time whatever is shown, and whatever is known.
import { hash, timingSafeEqual } from 'node:crypto'

const digest = (text: string): Uint8Array => hash('sha256', text, 'buffer')

export const isSameSecret = (shown: string, known: string): boolean => timingSafeEqual(digest(shown), digest(known))
