// Templates of the configuration, filled with values that came from outside: these never change where a request goes or what a note is made of. Pure.
// SPEC: TKT1, TKT5

const encoded = (value: string): string | null => (value.isWellFormed() && value !== '.' && value !== '..' ? encodeURIComponent(value) : null)

/** `{id}` and `{tenant}`, percent-encoded; null where a value would be a step of the path. */
export function filled(template: string, { tenant, id }: { readonly tenant: string; readonly id: string }): URL | null {
  const [one, other] = [encoded(id), encoded(tenant)]
  if (one === null || other === null) return null
  return URL.parse(template.replaceAll(/\{(id|tenant)\}/g, (_, name: string) => (name === 'id' ? one : other)))
}

/** Placeholders stand within strings of the JSON text, and so do the values. */
export const filledJson = (template: string, values: ReadonlyMap<string, string>): string =>
  template.replaceAll(/\{([a-z]+)\}/g, (whole: string, name: string) => {
    const value = values.get(name)
    return value === undefined ? whole : JSON.stringify(value).slice(1, -1)
  })
