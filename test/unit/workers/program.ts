// A program as `run` is one, with nothing of a gateway in it but its seat, its metrics and a count of what is open: what the primary does with
// real processes is seen by it. Says one JSON line for each thing that is logged. For tests only.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PrimaryMetrics, Metrics } from '../../../src/runtime/metrics.ts'
import { Fleet } from '../../../src/workers/fleet.ts'
import { forkWorker } from '../../../src/workers/fork.ts'
import { WorkerLink } from '../../../src/workers/link.ts'
import type { ToPrimary } from '../../../src/workers/messages.ts'

const say = (fields: object, text: string): void => void process.stdout.write(`${JSON.stringify({ ...fields, text })}\n`)
const log = { debug: say, info: say, warn: say, error: say }
const [size = '2', failing = 'none'] = process.argv.slice(2)

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until) continue
}

async function work(link: WorkerLink): Promise<void> {
  const { seat } = link
  process.on('SIGTERM', () => say({ seat: seat.index }, 'heard a signal of the system'))
  if (failing === String(seat.index)) process.exit(7)
  const metrics = new Metrics()
  let open = 0
  const server = createServer((request, response) => {
    response.setHeader('connection', 'close')
    const [, verb, value] = (request.url ?? '').split('/')
    metrics.limitReached.inc({ limit: 'connections' })
    if (verb === 'open') open += Number(value)
    if (verb === 'block') setImmediate(block, Number(value))
    if (verb === 'crash') process.kill(process.pid, 'SIGKILL')
    if (verb === 'metrics') return void metrics.text().then(text => response.end(text), (error: unknown) => response.writeHead(500).end(String(error)))
    response.end(JSON.stringify({ index: seat.index, alone: seat.alone, pid: process.pid, open }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  link.reloads(() => say({ seat: seat.index }, 'reloaded'))
  link.ready({ metrics, open: () => open })
  const { port } = server.address() as AddressInfo // it listens on a port
  say({ seat: seat.index, alone: seat.alone, port }, 'listening')
  say({ seat: seat.index, by: await link.stopped }, 'stopping')
  server.close()
  link.release()
}

async function lead(): Promise<void> {
  const heard = (message: ToPrimary): void => { if (message.is === 'open' && message.exchanges > 0) say(message, 'told what is open') }
  const fork: typeof forkWorker = (seat, ears) => forkWorker(seat, { ...ears, said: message => { ears.said(message); heard(message) } })
  const fleet = new Fleet(Number(size), { fork, log, metrics: new PrimaryMetrics(), refusal: () => null })
  fleet.start()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => fleet.stop(signal))
  process.on('SIGHUP', () => fleet.reload())
  process.on('SIGUSR2', () => fleet.kill())
  process.exitCode = await fleet.over
}

const link = WorkerLink.open(process.env)
await (link === null ? lead() : work(link))
