// The process log: JSON lines on stdout, for people who run the gateway. Never a credential, header value or body.
import { pino } from 'pino'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export type Log = {
  readonly debug: (fields: object, text: string) => void
  readonly info: (fields: object, text: string) => void
  readonly warn: (fields: object, text: string) => void
  readonly error: (fields: object, text: string) => void
}

/** Its level may be set at any time. */
export type LeveledLog = Log & { level: string }

export const openLog = (level: LogLevel): LeveledLog => pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime })
