// Reads what an operation takes: JSON of at most 64 KiB or YAML of at most 1 MiB, in at most 10 s, under exactly its content type.
// JSON that two parsers may read differently is refused. SPEC: ADM13
import type { IncomingMessage } from 'node:http'
import { isAmbiguousJson } from '../identity/strict-json.ts'
import type { Operation } from './contract.ts'
import { AdminFault } from './fault.ts'

const JSON_BYTES = 64 * 1024
const YAML_BYTES = 1024 * 1024
const PATIENCE_MS = 10_000

const TYPES: { readonly [T in Exclude<Operation['takes'], 'none'>]: RegExp } = {
  json: /^application\/json(?:\s*;\s*charset="?utf-8"?)?$/i,
  yaml: /^application\/yaml(?:\s*;\s*charset="?utf-8"?)?$/i,
}

const hasBody = ({ headers }: IncomingMessage): boolean => headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
/** What is not read can't be followed by another request. */
const closing = { headers: { connection: 'close' } }

/** Listens instead of iterating: leaving an iteration early would reset the connection before the refusal is read. */
function bytesOf(request: IncomingMessage, max: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let length = 0
  const late = setTimeout(() => reject(new AdminFault('request_timeout', 'the body did not arrive in time', closing)), PATIENCE_MS)
  const take = (chunk: Buffer): void => {
    length += chunk.length
    if (length <= max) chunks.push(chunk)
    else reject(new AdminFault('too_large', `the body is larger than ${max} bytes`, closing))
  }
  request.on('data', take)
  request.once('end', () => resolve(Buffer.concat(chunks)))
  request.once('error', reject)
  request.once('close', () => reject(new AdminFault('request_timeout', 'the connection was closed')))
  return promise.finally(() => {
    clearTimeout(late)
    request.off('data', take)
  })
}

function textOf(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new AdminFault('bad_request', 'the body is not UTF-8')
  }
}

function jsonOf(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new AdminFault('bad_request', 'the body is not JSON')
  }
  if (isAmbiguousJson(text)) throw new AdminFault('bad_request', 'the body names a member twice or nests too deep')
  return value
}

/** The JSON value, the YAML text, or `{}` where there is no body. @throws AdminFault */
export async function readBody(request: IncomingMessage, takes: Operation['takes']): Promise<unknown> {
  if (!hasBody(request)) return takes === 'yaml' ? '' : {}
  if (takes === 'none') throw new AdminFault('bad_request', 'this takes no body', closing)
  if (!TYPES[takes].test(request.headers['content-type'] ?? '')) throw new AdminFault('unsupported_media_type', `the body must be application/${takes}`, closing)
  if (request.headers['content-encoding'] !== undefined) throw new AdminFault('unsupported_media_type', 'the body must not be compressed', closing)
  const max = takes === 'json' ? JSON_BYTES : YAML_BYTES
  if (Number(request.headers['content-length'] ?? 0) > max) throw new AdminFault('too_large', `the body is larger than ${max} bytes`, closing)
  const text = textOf(await bytesOf(request, max))
  return takes === 'yaml' ? text : jsonOf(text)
}
