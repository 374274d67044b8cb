// The JSON Schema (draft-07) of the file, made from the same declaration that validates it, for editors. SPEC: CFG2
import { z } from 'zod'
import { document } from './schema/document.ts'

/** The parts of JSON Schema that the declaration gives. */
export type JsonSchema = {
  readonly type?: string
  readonly const?: unknown
  readonly description?: string
  readonly default?: unknown
  readonly pattern?: string
  readonly enum?: readonly unknown[]
  readonly properties?: { readonly [key: string]: JsonSchema }
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly additionalProperties?: JsonSchema | boolean
  readonly propertyNames?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
}

export function jsonSchema(): JsonSchema & { readonly title: string; readonly $id: string } {
  const made = z.toJSONSchema(document, { target: 'draft-07', io: 'input' }) as JsonSchema // the declaration uses no other form
  return { ...made, title: 'Narrowgate configuration', $id: 'urn:narrowgate:config:1' }
}

const formsOf = (schema: JsonSchema): readonly JsonSchema[] => schema.anyOf?.flatMap(formsOf) ?? [schema]

function below(schema: JsonSchema, step: string | number): readonly JsonSchema[] {
  return formsOf(schema).flatMap(form => {
    const { additionalProperties: rest } = form
    const next = typeof step === 'number' ? form.items : form.properties?.[step] ?? (typeof rest === 'object' ? rest : undefined)
    return next === undefined ? [] : [next]
  })
}

/** Keys that may stand at a path. */
export function keysAt(schema: JsonSchema, path: readonly (string | number)[]): readonly string[] {
  const at = path.reduce<readonly JsonSchema[]>((found, step) => found.flatMap(one => below(one, step)), [schema])
  return at.flatMap(formsOf).flatMap(form => [...Object.keys(form.properties ?? {}), ...(form.propertyNames?.enum ?? []).map(String)])
}
