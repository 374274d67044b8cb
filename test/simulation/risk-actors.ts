// Who calls in the simulation of risk: honest callers of several kinds with their bursts, retries and odd days, and attackers who use the credential
// of one of them. Each is an endless sequence of requests with the pauses between them. They know nothing of the policy.

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }

  of(probability: number): boolean { return this.next() < probability }
  up(to: number): number { return Math.floor(this.next() * to) }
  one<T>(list: readonly [T, ...T[]]): T { return list[this.up(list.length)] ?? list[0] }
  /** Around `mean` as things that happen by themselves are, at most ten times it. */
  around(mean: number): number { return Math.min(10 * mean, -Math.log(1 - this.next()) * mean) }
}

export type Step = {
  /** Milliseconds since the one before. */
  readonly wait: number
  readonly method: string
  readonly host: string
  readonly path: string
  readonly source: string
  /** Of its answer. */
  readonly bytes: number
}
type Steps = Generator<Step, never>
type What = Pick<Step, 'method' | 'host' | 'path'>

export type Caller = { readonly subject: string; readonly kind: 'agent' | 'person' | 'ci'; readonly source: string; readonly day: readonly [from: number, to: number]; readonly behaves: (chance: Chance, caller: Caller) => Steps }
export type Attack = {
  readonly name: string
  /** Whose credential it has. */
  readonly victim: Caller
  /** Hour of the day at which it begins, at the earliest. */
  readonly from: number
  readonly minutes: number
  readonly behaves: (chance: Chance, caller: Caller) => Steps
}

export const SECOND = 1_000
export const MINUTE = 60_000
export const HOUR = 3_600_000
const KIB = 1_024

const step = ({ method, host, path }: What, wait: number, source: string, bytes = 4 * KIB): Step => ({ wait, method, host, path, source, bytes })
const get = (host: string, path: string): What => ({ method: 'GET', host, path })
const post = (host: string, path: string): What => ({ method: 'POST', host, path })
const ticket = (chance: Chance, tenant = 'acme'): What => get('tickets.internal', `/${tenant}/tickets/${4_000 + chance.up(400)}`)
const comment = (chance: Chance, tenant = 'acme'): What => post('tickets.internal', `/${tenant}/tickets/${4_000 + chance.up(400)}/comments`)
const customer = (chance: Chance): What => get('crm.internal', `/acme/customers/${chance.up(200)}`)

// ---- the honest

/** Reads and answers tickets, in rounds; what fails is tried again at once; now and then a tenant that is new, or something that is not there. */
function* ticketBot(chance: Chance, { source }: Caller): Steps {
  for (;;) {
    const tenant = chance.of(0.004) ? chance.one(['bolt', 'cargo', 'dune']) : 'acme'
    for (let left = 3 + chance.up(12); left > 0; left--) {
      const what = chance.of(0.3) ? comment(chance, tenant) : ticket(chance, tenant)
      const tries = chance.of(0.02) ? 3 : 1
      for (let t = 0; t < tries; t++) yield step(what, t === 0 ? chance.around(2 * SECOND) : 200, source)
    }
    if (chance.of(0.01)) yield step(post('tickets.internal', '/acme/bulk'), SECOND, source)
    yield step(ticket(chance), chance.around(6 * MINUTE), source)
  }
}

/** Looks at tickets and their customers, with pauses; from home now and then. */
function* support(chance: Chance, { source }: Caller): Steps {
  for (;;) {
    const from = chance.of(0.02) ? '198.51.100.7' : source
    for (let left = 5 + chance.up(30); left > 0; left--) {
      const what = chance.of(0.5) ? ticket(chance) : chance.of(0.6) ? customer(chance) : comment(chance)
      yield step(what, chance.around(15 * SECOND), from, 16 * KIB)
    }
    if (chance.of(0.05)) yield step({ method: 'DELETE', host: 'tickets.internal', path: '/acme/tickets/4001' }, 5 * SECOND, from)
    yield step(ticket(chance), chance.around(10 * MINUTE), from)
  }
}

/** Sends mail about tickets. */
function* mailer(chance: Chance, { source }: Caller): Steps {
  for (;;) {
    yield step(ticket(chance), chance.around(40 * SECOND), source)
    if (chance.of(0.4)) yield step(post('mail.internal', '/send'), SECOND, source)
  }
}

/** Builds: bursts of reads and writes; an old script among them asks for what is gone. */
function* builds(chance: Chance, { source }: Caller): Steps {
  for (;;) {
    yield step(get('build.internal', '/artifacts/cache'), chance.around(30 * MINUTE), source)
    for (let left = 40 + chance.up(200); left > 0; left--) {
      yield step({ method: chance.of(0.2) ? 'PUT' : 'GET', host: 'build.internal', path: `/artifacts/layer-${chance.up(500)}` }, chance.around(350), source, 96 * KIB)
    }
    if (chance.of(0.03)) for (let t = 0; t < 4; t++) yield step(get('build.internal', '/status'), SECOND, source)
  }
}

/** Brings records of its tenants over, in waves; a tenant more now and then. */
function* sync(chance: Chance, { source }: Caller): Steps {
  for (;;) {
    const tenant = chance.of(0.01) ? chance.one(['cargo', 'dune']) : chance.one(['acme', 'bolt'])
    for (let left = 20 + chance.up(60); left > 0; left--) yield step(get('records.internal', `/${tenant}/records/${chance.up(5_000)}`), chance.around(700), source, 24 * KIB)
    yield step(get('records.internal', '/acme/changes'), chance.around(6 * MINUTE), source)
  }
}

function* nightly(chance: Chance, { source }: Caller): Steps {
  for (;;) {
    for (let left = 30; left > 0; left--) yield step(get('records.internal', `/acme/records/${chance.up(5_000)}`), chance.around(3 * SECOND), source, 24 * KIB)
    yield step(post('records.internal', '/acme/reports'), 5 * SECOND, source)
  }
}

/** Hours of the day, in UTC: an office in Singapore, a job at night in Berlin. */
const ALL_DAY = [0, 24] as const
const OFFICE = [1, 9] as const
const NIGHT = [0, 1] as const

const caller = (subject: string, kind: Caller['kind'], source: string, day: Caller['day'], behaves: Caller['behaves']): Caller => ({ subject, kind, source, day, behaves })

export const HONEST: readonly Caller[] = [
  caller('ticket-bot-1', 'agent', '10.1.0.1', ALL_DAY, ticketBot),
  caller('ticket-bot-2', 'agent', '10.1.0.2', ALL_DAY, ticketBot),
  caller('mailer-1', 'agent', '10.1.0.3', ALL_DAY, mailer),
  caller('support-1', 'person', '10.2.0.1', OFFICE, support),
  caller('support-2', 'person', '10.2.0.2', OFFICE, support),
  caller('ci-shop', 'ci', '10.3.0.1', ALL_DAY, builds),
  caller('ci-web', 'ci', '10.3.0.2', ALL_DAY, builds),
  caller('sync-records', 'ci', '10.3.0.3', ALL_DAY, sync),
  caller('nightly-report', 'ci', '10.3.0.4', NIGHT, nightly),
]

/** What a caller is in the table: `support-2` is `support`. */
export const kindOf = ({ subject }: Caller): string => subject.replace(/-(?:\d+|shop|web)$/, '')

// ---- the attackers

function* elsewhere(chance: Chance): Steps {
  for (;;) {
    const what = chance.of(0.7) ? ticket(chance) : chance.one([get('crm.internal', '/acme/customers/1'), get('vault.internal', '/secrets/db'), get('build.internal', '/artifacts/x'), get('tickets.internal', '/acme/tickets')])
    yield step(what, chance.around(SECOND), '203.0.113.66')
  }
}

function* slowScan(chance: Chance, { source }: Caller): Steps {
  const what = (): What => chance.one([get('vault.internal', `/secrets/s${chance.up(50)}`), get('build.internal', `/config/${chance.up(50)}`), get('records.internal', `/acme/records/${chance.up(50)}`), post('tickets.internal', `/acme/admin/${chance.up(50)}`), get('vault.internal', '/keys')])
  for (;;) yield step(what(), chance.around(30 * SECOND), source)
}

function* pivot(chance: Chance, { source }: Caller): Steps {
  for (let left = 20; left > 0; left--) yield step(ticket(chance), chance.around(5 * SECOND), source)
  for (;;) {
    yield step(get('vault.internal', `/secrets/s${chance.up(20)}`), chance.around(5 * SECOND), source)
    if (chance.of(0.3)) yield step(post('mail.internal', '/send'), SECOND, source)
  }
}

function* tenantSweep(chance: Chance, { source }: Caller): Steps {
  for (let tenant = 0; ; tenant = (tenant + 1) % 60) yield step(ticket(chance, `tenant-${tenant}`), chance.around(2 * SECOND), source)
}

function* bulkExport(chance: Chance, { source }: Caller): Steps {
  for (;;) yield step(get('records.internal', `/acme/export/${chance.up(5_000)}`), chance.around(500), source, 2 * KIB * KIB)
}

function* hammering(chance: Chance, { source }: Caller): Steps {
  for (;;) yield step({ method: 'DELETE', host: 'tickets.internal', path: `/acme/tickets/${chance.up(400)}` }, chance.around(200), source)
}

/** What its victim does too, from where its victim is, and not much of it. */
function* lowAndSlow(chance: Chance, { source }: Caller): Steps {
  for (;;) yield step(chance.of(0.8) ? ticket(chance) : customer(chance), chance.around(5 * MINUTE), source)
}

/** A credential that was stolen by somebody who knows what its owner does, and asks for no more, from elsewhere. */
function* imitation(chance: Chance): Steps {
  for (;;) yield step(ticket(chance), chance.around(MINUTE), '203.0.113.77')
}

/** Another tenant each time, with patience. */
function* slowSweep(chance: Chance, { source }: Caller): Steps {
  for (let tenant = 0; ; tenant++) yield step(ticket(chance, `tenant-${tenant}`), 10 * MINUTE + chance.around(5 * MINUTE), source)
}

const victim = (name: string, like: string): Caller => {
  const found = HONEST.find(({ subject }) => subject === like)
  if (found === undefined) throw new Error(`nobody is called ${like}`)
  return { ...found, subject: name }
}

export const ATTACKS: readonly Attack[] = [
  { name: 'stolen, other network', victim: victim('ticket-bot-7', 'ticket-bot-1'), from: 2, minutes: 30, behaves: elsewhere },
  { name: 'slow scan', victim: victim('mailer-7', 'mailer-1'), from: 2, minutes: 120, behaves: slowScan },
  { name: 'pivot to secrets', victim: victim('ticket-bot-8', 'ticket-bot-1'), from: 2, minutes: 30, behaves: pivot },
  { name: 'tenant sweep', victim: victim('ticket-bot-9', 'ticket-bot-1'), from: 2, minutes: 30, behaves: tenantSweep },
  { name: 'bulk export', victim: victim('sync-other', 'sync-records'), from: 2, minutes: 30, behaves: bulkExport },
  { name: 'off schedule', victim: victim('nightly-audit', 'nightly-report'), from: 2, minutes: 30, behaves: nightly },
  { name: 'deny hammering', victim: victim('mailer-8', 'mailer-1'), from: 2, minutes: 30, behaves: hammering },
  { name: 'imitation, elsewhere', victim: victim('ticket-bot-5', 'ticket-bot-1'), from: 2, minutes: 120, behaves: imitation },
  { name: 'tenant sweep, slow', victim: victim('ticket-bot-6', 'ticket-bot-1'), from: 2, minutes: 360, behaves: slowSweep },
  { name: 'low and slow', victim: victim('support-9', 'support-1'), from: 1, minutes: 360, behaves: lowAndSlow },
]

