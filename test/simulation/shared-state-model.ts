// One server with one shard, as heartbeat.lua, commit.lua, read.lua and frame.lua say it must be: the reference that members are driven against.
// Its data is never changed, only replaced: an older one is what a replica that lags has, or a disk after a crash. Knows no network and no members.

const S = '\x1f'
/** What a server may be made to do wrong, so that a check can be seen to find it. */
export type Flaw = 'forgets what was missed' | 'settles at once' | 'takes numbers for history' | 'answers in the epoch before its own'
const ENTRY_PAGE = 500

type Entry = { readonly id: string; readonly nonce: string; readonly text: string }
export type Data = {
  readonly cid: string; readonly born: number; readonly run: string; readonly epoch: number; readonly es: number; readonly base: string; readonly basen: string
  readonly head: string; readonly headn: string; readonly seq: number; readonly settled: boolean; readonly tm: number; readonly was: number; readonly off: number
  /** Epoch in which somebody came with a history that goes on. */
  readonly wit: number
  /** Member to `lease end|epoch|enforced up to|lease|digest`. */
  readonly roll: ReadonlyMap<string, string>
  readonly log: readonly Entry[]
  /** Reference to last seen, version, places, MAC and body. */
  readonly records: ReadonlyMap<string, string>
  readonly done: ReadonlyMap<string, string>
}

export type Hearing = {
  readonly published: (server: ModelServer, channel: 'ev' | 'ack', message: string) => void
  readonly opened: (server: ModelServer) => void
  /** A member is in the roll of this epoch now. */
  readonly entered: (server: ModelServer, member: string) => void
  readonly settled: (server: ModelServer) => void
  readonly written: (server: ModelServer, before: Data) => void
}

type Args = readonly string[]
type Write = { readonly nonce: string; readonly flags: string; readonly ref: string; readonly v: string; readonly mac: string; readonly body: string; readonly places: string; readonly forget: string; readonly facts: string; readonly news: string }

/** Of a record's text. */
export const bodyOf = (text: string): string => text.split(S)[4] ?? ''
const versionOf = (text: string | undefined): string => text?.split(S)[1] ?? '0'
const READS: ReadonlySet<string> = new Set(['get', 'check', 'members'])

export class ModelServer {
  /** Takes no writes: no replica follows it any more. */
  isFenced = false
  data: Data | null
  readonly run: string
  readonly #salt: number
  readonly #clock: () => number
  readonly #hears: Hearing
  readonly #flaw: Flaw | null

  constructor(run: number, data: Data | null, clock: () => number, hears: Hearing, flaw: Flaw | null) {
    this.#flaw = flaw
    this.run = `run${run}`
    this.#salt = run % 7
    this.data = data
    this.#clock = clock
    this.#hears = hears
  }

  /** @throws Error as Redis would say it */
  call(name: string, args: Args): unknown {
    if (!READS.has(name) && this.isFenced) throw new Error('NOREPLICAS Not enough good replicas to write.')
    switch (name) {
      case 'hb': return this.#heartbeat(args)
      case 'commit': case 'commit_restrictive': return this.#commit(args)
      case 'get': return [this.#epochRead, this.data?.cid ?? '', String(this.now), ...args.map(ref => this.data?.records.get(ref) ?? '')]
      case 'check': return [this.#stamp, ...args.flatMap((ref, i) => (i % 2 === 0 && versionOf(this.data?.records.get(ref)) !== args[i + 1] ? [i / 2 + 1] : []))]
      case 'list': return [this.#stamp, '0', ...[...(this.data?.records ?? [])].filter(([ref]) => ref.startsWith(`${args[0] ?? ''}/`)).map(([ref, text]) => ref + S + text)]
      case 'find': return [this.#stamp, ...[...(this.data?.records ?? [])].filter(([, text]) => (text.split(S)[2] ?? '').includes(args[0] ?? '')).map(([ref]) => ref)]
      case 'members': return this.#members()
      case 'ack': { this.#hears.published(this, 'ack', args.join(S)); return 1 }
      case 'leave': {
        const roll = new Map(this.data?.roll)
        roll.delete(args[0] ?? '')
        if (this.data !== null) this.data = { ...this.data, roll }
        return 1
      }
      case 'touch': case 'undrain': return 1
      default: throw new Error(`ERR the model has no function ${name}`)
    }
  }

  get now(): number { return Math.max(this.#clock() + (this.data?.off ?? 0), this.data?.tm ?? 0) }
  get #stamp(): string { return `${this.data?.cid ?? ''}.${this.#epochRead}` }
  /** None before this process has begun its own. */
  get #epochRead(): string { return this.data?.run === this.run || this.#flaw === 'answers in the epoch before its own' ? String(this.data?.epoch ?? '') : '' }

  /** The first write on a new process opens a new epoch. */
  #opened(nonce: string): Data {
    const before = this.data
    if (before !== null && before.run === this.run) return before
    const clock = this.#clock()
    const { head = '0-0', headn = '-', tm = 0 } = before ?? {}
    const now = Math.max(clock, tm)
    const epoch = Math.max((before?.epoch ?? 0) + 1, now) + this.#salt
    this.data = {
      cid: nonce, born: now, seq: 0, roll: new Map(), log: [], records: new Map(), done: new Map(), wit: 0, ...before,
      run: this.run, epoch, es: now, settled: false, base: head, basen: headn, head, headn, tm, was: tm, off: Math.max(0, tm - clock),
    }
    const opened = this.#append(this.data, { nonce: `${nonce}e`, flags: '', ref: '', v: '0', mac: '', body: '', facts: '[]', news: '' })
    this.#hears.opened(this)
    return opened
  }

  #append(data: Data, { nonce, flags, ref, v, mac, body, facts, news }: Omit<Write, 'places' | 'forget'>): Data {
    const id = `${data.epoch}-${data.seq + 1}`
    const text = [id, nonce, data.headn, String(this.now), flags, ref, v, mac, body, facts, news].join(S)
    this.data = { ...data, seq: data.seq + 1, head: id, headn: nonce, log: [...data.log, { id, nonce, text }] }
    this.#hears.published(this, 'ev', text)
    return this.data
  }

  #heartbeat([nonce = '', , member = '', applied = '', appliedNonce = '', enforced = '', , lease = '', window = '', digest = '', epoch = '']: Args): unknown {
    let data = this.#opened(nonce)
    const { now } = this
    const numbersOnly = this.#flaw === 'takes numbers for history'
    const at = data.log.findIndex(({ id }) => id === applied || (numbersOnly && sequenceIn(id) === sequenceIn(applied)))
    const status = applied === '' ? 'NEW' : at < 0 ? 'LOST' : data.log[at]?.nonce === appliedNonce || numbersOnly ? 'OK' : 'FORK'
    const isHere = status === 'OK' && epoch === String(data.epoch)
    const comes = isHere || status === 'NEW'
    if (comes) data = { ...data, roll: new Map(data.roll).set(member, [now + Number(lease), data.epoch, enforced, lease, digest].join('|')) }
    const cameNow = comes && epochIn(this.data?.roll.get(member)) !== data.epoch
    if (isHere && cameNow && !data.settled) data = { ...data, wit: data.epoch }
    const wasSettled = data.settled
    if (!wasSettled) data = settle(data, now, this.#flaw === 'settles at once' ? 0 : Number(window))
    this.data = data = { ...data, tm: now }
    if (cameNow) this.#hears.entered(this, member)
    if (data.settled && !wasSettled) this.#hears.settled(this)
    const entries = status === 'OK' && this.#flaw !== 'forgets what was missed' ? data.log.slice(at + 1, at + 1 + ENTRY_PAGE).map(({ text }) => text) : []
    return [status, String(data.epoch), data.cid, data.head, data.headn, String(now), String(data.es), data.base, data.basen, data.settled ? (isHere ? '1' : 'late') : '0', String(data.born), entries]
  }

  #commit([nonce = '', , operation = '', ref = '', version = '', epoch = '', v = '', mac = '', body = '', places = '', forget = '', due = '', facts = '', , news = '', flags = '', ...ahead]: Args): unknown {
    const data = this.#opened(nonce)
    const done = data.done.get(operation)
    if (done !== undefined) return ['DUP', done, this.#witnesses(flags)]
    if (epoch !== '' && epoch !== `${data.cid}.${data.epoch}`) return ['EPOCH', data.cid, String(data.epoch)]
    if (due !== '' && this.now < Number(due)) return ['EARLY', String(this.now)]
    const there = data.records.get(ref)
    if (version !== '' && versionOf(there) !== version) return ['CONFLICT', there ?? '', this.#ahead(data, nonce, flags, ahead), this.#witnesses(flags)]
    const { head } = this.#write(data, { nonce, flags, ref, v, mac, body, places, forget, facts, news }, operation)
    return ['OK', head, this.#witnesses(flags)]
  }

  #ahead(data: Data, nonce: string, flags: string, [ref, version, v = '', mac = '', body = '', forget = '', facts = '', news = '']: Args): string {
    if (ref === undefined || versionOf(data.records.get(ref)) !== version) return ''
    return this.#write(data, { nonce: `${nonce}a`, flags, ref, v, mac, body, places: '', forget, facts, news }, null).head
  }

  #write(before: Data, write: Write, operation: string | null): Data {
    const { ref, v, mac, body, places, forget } = write
    const records = new Map(before.records)
    const [seen = '0000000000000'] = before.records.get(ref)?.split(S) ?? []
    if (forget !== '' && Number(forget) <= this.now) records.delete(ref)
    else records.set(ref, [seen, v, places, mac, body].join(S))
    const data = this.#append({ ...before, records }, write)
    this.data = operation === null ? data : { ...data, done: new Map(data.done).set(operation, data.head) }
    this.#hears.written(this, before)
    return this.data
  }

  #members(): unknown {
    const epoch = this.#epochRead
    return [String(this.now), epoch, String(epoch === '' ? this.now : this.data?.es), epoch !== '' && this.data?.settled === true ? '1' : '0', [...(this.data?.roll ?? [])].flat()]
  }

  #witnesses(flags: string): unknown { return flags === 'a' ? this.#members() : [String(this.now), this.#epochRead, '0', '1', []] }
}

const sequenceIn = (id: string): string => id.slice(id.indexOf('-') + 1)
const epochIn = (value: string | undefined): number => Number(value?.split('|')[1] ?? 0)

/** Settled when everybody who was here before has come, or can no longer act on anything older. */
function settle(data: Data, now: number, window: number): Data {
  const rows = [...data.roll].map(([name, value]) => ({ name, value, endsAt: Number(value.split('|')[0]), epoch: epochIn(value) }))
  const missing = (data.base !== '0-0' && data.wit !== data.epoch) || rows.some(({ endsAt, epoch }) => epoch !== data.epoch && endsAt > data.was - 60_000)
  if (missing && now < data.es + window) return data
  return { ...data, settled: true, roll: new Map(rows.filter(({ epoch }) => epoch === data.epoch).map(({ name, value }) => [name, value])) }
}
