// Writes an answer or a fault. What is not an AdminFault is logged and answered without a word about the inside. SPEC: ADM13
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../runtime/log.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import type { Answer } from './answer.ts'
import { AdminFault } from './fault.ts'

function write(request: IncomingMessage, response: ServerResponse, status: number, type: string, text: string, more: { readonly [name: string]: string } = {}): void {
  if (response.headersSent || response.destroyed) return
  request.resume() // what was not read is discarded, so that the answer is
  const bytes = Buffer.from(text)
  const close = request.complete ? {} : { connection: 'close' }
  response.writeHead(status, { 'content-type': type, 'content-length': bytes.length, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...close, ...more })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}

export function send(request: IncomingMessage, response: ServerResponse, answer: Answer, allowed: () => Promise<boolean>): void {
  switch (answer.is) {
    case 'json': return write(request, response, answer.status, 'application/json', `${JSON.stringify(answer.body)}\n`)
    case 'text': return write(request, response, answer.status, answer.type, answer.text)
    case 'stream': return answer.open(response, allowed)
  }
}

function asFault(error: unknown, log: Log): AdminFault {
  if (error instanceof AdminFault) return error
  log.error({ err: error instanceof Error ? { name: error.name, message: error.message, stack: error.stack } : String(error) }, 'an admin request failed')
  return error instanceof StoreFault ? new AdminFault('store_failed', 'the session store did not do it') : new AdminFault('internal_error', 'the gateway failed; see its log')
}

export function sendFault(request: IncomingMessage, response: ServerResponse, error: unknown, log: Log): void {
  const fault = asFault(error, log)
  write(request, response, fault.status, 'application/problem+json', `${JSON.stringify(fault.body)}\n`, fault.headers)
}
