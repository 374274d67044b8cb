// Runs the conformance suite of MCP (its own program) against a server, and says what each check came to; and the hop that shows a credential for it, which
// the suite cannot. For tests only.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('../../../../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url))
/** Of a whole run, in ms. */
const PATIENCE = 60_000

/** Of a check, by scenario, id and place among those that are called the same. */
export type Verdicts = ReadonlyMap<string, string>

function run(args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [PROGRAM, ...args], { timeout: PATIENCE, maxBuffer: 64 * 1024 * 1024 }, (error, stdout) => {
      if (error !== null && error.code !== 1) reject(error) // 1: some check failed
      else resolve(stdout)
    })
  })
}

/** What it can test servers for. */
export async function scenariosOf(version: string): Promise<readonly string[]> {
  return (await run(['list', '--server'])).split('\n').flatMap(line => {
    const [, name, versions = ''] = /^ {2}- (\S+) \[(.*)\]$/.exec(line) ?? []
    return name !== undefined && versions.split(',').includes(version) ? [name] : []
  })
}

type Check = { readonly id: string; readonly name: string; readonly status: string }

function verdictsIn(directory: string): Verdicts {
  const verdicts = new Map<string, string>()
  for (const folder of readdirSync(directory)) {
    const scenario = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\dZ-]+$/, '')
    const checks = JSON.parse(readFileSync(join(directory, folder, 'checks.json'), 'utf8')) as readonly Check[] // what the suite wrote
    const seen = new Map<string, number>()
    for (const { id, name, status } of checks) {
      const key = `${scenario} ${id} ${name}`
      const nth = (seen.get(key) ?? 0) + 1
      seen.set(key, nth)
      if (status !== 'INFO') verdicts.set(`${key} ${nth}`, status)
    }
  }
  return verdicts
}

/** Every scenario of that version of the protocol, against `url`. */
export async function verdictsOf(url: string, version: string): Promise<Verdicts> {
  const directory = mkdtempSync(join(tmpdir(), 'ng-conformance-'))
  try {
    await run(['server', '--url', url, '--suite', 'all', '--spec-version', version, '--output-dir', directory])
    return verdictsIn(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const urlAt = (port: number): string => `http://localhost:${port}/mcp`

type Stand = { readonly url: string; readonly close: () => Promise<void> }

async function standing(server: ReturnType<typeof createServer>): Promise<Stand> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }
  return { url: urlAt(port), close }
}

/** Serves nothing: what passes here proves nothing. */
export const startDeadServer = (): Promise<Stand> => standing(createServer((message, answer) => {
  message.resume()
  answer.writeHead(503).end()
}))

/** Sends everything on to a port of this machine as it comes, with this credential added. */
export function startCredentialHop(port: number, authorization: string): Promise<Stand> {
  return standing(createServer((message, answer) => {
    const sent = httpRequest({ host: '127.0.0.1', port, method: message.method, path: message.url, headers: [...message.rawHeaders, 'authorization', authorization], setHost: false })
    sent.on('response', response => {
      answer.sendDate = false
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders)
      answer.flushHeaders()
      response.pipe(answer)
      response.on('error', () => answer.destroy())
    })
    sent.on('error', () => answer.destroy())
    answer.on('close', () => sent.destroy())
    message.pipe(sent)
  }))
}
