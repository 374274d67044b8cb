// The process log: JSON lines on stdout, for people who run the gateway. Never a credential, header value or body.
import { pino } from 'pino'

export type Log = {
  readonly debug: (fields: object, text: string) => void
  readonly info: (fields: object, text: string) => void
  readonly warn: (fields: object, text: string) => void
  readonly error: (fields: object, text: string) => void
}

export const openLog = (level: 'debug' | 'info' | 'warn' | 'error' | 'silent'): Log => pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
