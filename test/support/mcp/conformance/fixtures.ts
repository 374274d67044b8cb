// What @modelcontextprotocol/conformance expects of a server it tests, as its scenarios describe it (`conformance list`): contents that are the same in both
// eras. For tests only.
import { setTimeout as after } from 'node:timers/promises'

export type Json = { [member: string]: unknown } // as mutable as the SDKs' own

/** What a call has besides its arguments. */
export type Turn = {
  readonly args: { readonly [name: string]: unknown }
  readonly progress: (done: number) => Promise<void>
}

/** @template C what its era has besides */
export type Fixture<C> = { readonly name: string; readonly description: string; readonly inputSchema?: Json; readonly run: (turn: Turn, context: C) => Json | Promise<Json> }

/** A red dot. */
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
/** Silence. */
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA='
const STEP_MS = 50

export const NOTHING: Json = { type: 'object', properties: {} }
export const text = (says: string): Json => ({ content: [{ type: 'text', text: says }] })
const image = { type: 'image', data: PNG, mimeType: 'image/png' }
export const pause = (): Promise<void> => after(STEP_MS)

/** Of JSON Schema 2020-12: what must not be lost on the way of a list. */
const WIDE_SCHEMA = JSON.parse(`{
  "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
  "$defs": { "address": { "$anchor": "addressDef", "type": "object", "properties": { "street": { "type": "string" }, "city": { "type": "string" } } } },
  "properties": { "name": { "type": "string" }, "address": { "$ref": "#/$defs/address" }, "contactMethod": { "type": "string", "enum": ["phone", "email"] }, "phone": { "type": "string" }, "email": { "type": "string" } },
  "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
  "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] }, "then": { "required": ["phone"] }, "else": { "required": ["email"] },
  "additionalProperties": false
}`) as Json // an object, as written here

async function withProgress({ progress }: Turn): Promise<Json> {
  for (const done of [0, 50, 100]) {
    await progress(done)
    await pause()
  }
  return text('done')
}

export const FIXTURES: readonly Fixture<unknown>[] = [
  { name: 'test_simple_text', description: 'Plain text', run: () => text('This is a simple text response for testing.') },
  { name: 'test_image_content', description: 'An image', run: () => ({ content: [image] }) },
  { name: 'test_audio_content', description: 'A sound', run: () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] }) },
  {
    name: 'test_embedded_resource', description: 'A resource in the result',
    run: () => ({ content: [{ type: 'resource', resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' } }] }),
  },
  {
    name: 'test_multiple_content_types', description: 'Several contents',
    run: () => ({ content: [{ type: 'text', text: 'Multiple content types test:' }, image, { type: 'resource', resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data","value":123}' } }] }),
  },
  { name: 'test_error_handling', description: 'Fails', run: () => ({ ...text('This tool intentionally returns an error for testing'), isError: true }) },
  { name: 'test_tool_with_progress', description: 'Tells how far it is', run: withProgress },
  { name: 'json_schema_2020_12_tool', description: 'Has a wide schema', inputSchema: WIDE_SCHEMA, run: ({ args }) => text(JSON.stringify(args)) },
]

const named = (uri: string, mimeType: string): Json => ({ uri, name: uri.slice('test://'.length), description: 'A resource of the suite', mimeType })

export const RESOURCES: readonly Json[] = [named('test://static-text', 'text/plain'), named('test://static-binary', 'image/png'), named('test://watched-resource', 'text/plain')]
export const TEMPLATES: readonly Json[] = [{ uriTemplate: 'test://template/{id}/data', name: 'template', description: 'A template of the suite', mimeType: 'application/json' }]

/** null where there is no such resource. */
export function contentsOf(uri: string): Json | null {
  const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1]
  if (id !== undefined) return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }] }
  switch (uri) {
    case 'test://static-text': return { contents: [{ uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }] }
    case 'test://static-binary': return { contents: [{ uri, mimeType: 'image/png', blob: PNG }] }
    case 'test://watched-resource': return { contents: [{ uri, mimeType: 'text/plain', text: 'watched' }] }
    default: return null
  }
}

const argument = (name: string): Json => ({ name, description: 'An argument of the suite', required: true })

export const PROMPTS: readonly Json[] = [
  { name: 'test_simple_prompt', description: 'A prompt' },
  { name: 'test_prompt_with_arguments', description: 'A prompt with arguments', arguments: [argument('arg1'), argument('arg2')] },
  { name: 'test_prompt_with_embedded_resource', description: 'A prompt with a resource', arguments: [argument('resourceUri')] },
  { name: 'test_prompt_with_image', description: 'A prompt with an image' },
]

const user = (content: Json): Json => ({ role: 'user', content })
const words = (says: string): Json => user({ type: 'text', text: says })

/** null where there is no such prompt. */
export function messagesOf(name: string, args: { readonly [name: string]: unknown }): Json | null {
  switch (name) {
    case 'test_simple_prompt': return { messages: [words('This is a simple prompt for testing.')] }
    case 'test_prompt_with_arguments': return { messages: [words(`Prompt with arguments: arg1='${String(args['arg1'])}', arg2='${String(args['arg2'])}'`)] }
    case 'test_prompt_with_embedded_resource':
      return { messages: [user({ type: 'resource', resource: { uri: args['resourceUri'], mimeType: 'text/plain', text: 'Embedded resource content for testing.' } }), words('Please process the embedded resource above.')] }
    case 'test_prompt_with_image': return { messages: [user(image), words('Please analyze the image above.')] }
    default: return null
  }
}

export const COMPLETION: Json = { completion: { values: ['paris', 'park', 'party'], total: 3, hasMore: false } }
