// Every line of a head in which a provider looks. SPEC: SES15
import type { Presented } from '../../identity/credential.ts'

/** @param headers names and values in turn @param wanted lower-case names */
export function presentedIn(headers: readonly string[], wanted: readonly string[]): readonly Presented[] {
  const lines: Presented[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    for (const header of wanted) if (header.length === name.length && header === name.toLowerCase()) lines.push({ header, value: headers[i + 1] ?? '' })
  }
  return lines
}
