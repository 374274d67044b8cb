// What the demo prints: plain lines, a little colour where a terminal wants it (NO_COLOR is honoured). It tells; it decides nothing.
type NarratorOptions = { readonly out: (text: string) => void; readonly colour: boolean }

type Look = 'bold' | 'dim' | 'green' | 'red'

const CODES: { readonly [L in Look]: number } = { bold: 1, dim: 2, green: 32, red: 31 }

/** https://no-color.org: any value but the empty one switches colour off. */
export const wantsColour = (env: { readonly [name: string]: string | undefined }, isTerminal: boolean): boolean => isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb'

export class Narrator {
  readonly #out: (text: string) => void
  readonly #colour: boolean

  constructor({ out, colour }: NarratorOptions) {
    this.#out = out
    this.#colour = colour
  }

  title(text: string): void { this.#line(this.#as('bold', text)) }
  step(number: number, of: number, title: string): void { this.#line(`\n${this.#as('bold', `[${number}/${of}] ${title}`)}`) }
  /** Something that was observed. */
  saw(text: string): void { this.#line(`  ${this.#as('green', 'ok')}  ${text}`) }
  /** Several lines as they are, set back. */
  shows(text: string): void { for (const line of text.trimEnd().split('\n')) this.#line(`      ${this.#as('dim', line)}`) }
  /** As it stands, for the clipboard. */
  plain(text: string): void { this.#line(text) }
  paragraph(text: string): void { this.#line(`\n${text}`) }

  failed(what: string, expected: string, seen: string): void {
    this.#line(`  ${this.#as('red', 'NOT OBSERVED')}  ${what}`)
    this.#line(`      expected  ${expected}`)
    this.#line(`      seen      ${seen}`)
  }

  #line(text: string): void { this.#out(`${text}\n`) }
  #as(look: Look, text: string): string { return this.#colour ? `\u001b[${CODES[look]}m${text}\u001b[0m` : text }
}
