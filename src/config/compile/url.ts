// URLs as the file may write them.
import { isLoopback } from './listeners.ts'

/** An absolute http or https URL without credentials, or null. */
export function httpUrl(text: string): URL | null {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '' ? url : null
}

export const isLoopbackUrl = (url: URL): boolean => isLoopback(url.hostname.replace(/^\[|\]$/g, ''))
