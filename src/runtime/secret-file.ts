// Reads a small file that holds a secret, a key or a list of them. Its errors name the file and the cause, never the content.
import { open, writeFile } from 'node:fs/promises'

/** Longest file read unless told otherwise, in bytes. */
const SECRET_FILE_MAX = 64 * 1024

/** `message` names the file and what is wrong with it. */
export class SecretFileError extends Error {
  readonly file: string

  constructor(file: string, problem: string, cause?: unknown) {
    super(`${file}: ${problem}`, cause === undefined ? {} : { cause })
    this.name = 'SecretFileError'
    this.file = file
  }
}

const PROBLEMS: { readonly [code: string]: string } = {
  ENOENT: 'no such file',
  EACCES: 'no permission to read it',
  EISDIR: 'is a directory',
}

function problemOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
  return PROBLEMS[code] ?? `cannot be read (${code})`
}

/** Up to `max + 1` bytes from the start of a regular file; devices and pipes are refused, they may never end. */
async function bytesOf(file: string, max: number): Promise<Buffer> {
  await using handle = await open(file, 'r')
  if (!(await handle.stat()).isFile()) throw new SecretFileError(file, 'is not a regular file')
  const buffer = Buffer.alloc(max + 1)
  let length = 0
  while (length <= max) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}

/** The text of a file without its one trailing newline. Throws SecretFileError when missing, empty, not UTF-8 or longer than `max` bytes. */
export async function readSecretFile(file: string, max: number = SECRET_FILE_MAX): Promise<string> {
  let bytes: Buffer
  try {
    bytes = await bytesOf(file, max)
  } catch (error) {
    throw error instanceof SecretFileError ? error : new SecretFileError(file, problemOf(error), error)
  }
  if (bytes.length > max) throw new SecretFileError(file, `is longer than ${max} bytes`)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new SecretFileError(file, 'is not UTF-8')
  }
  const secret = text.replace(/\r?\n$/, '')
  if (secret === '') throw new SecretFileError(file, 'is empty')
  return secret
}

/** Creates or replaces a file that only its owner may read. Throws SecretFileError. */
export async function writeSecretFile(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 }).catch((error: unknown) => {
    throw new SecretFileError(file, problemOf(error), error)
  })
}
