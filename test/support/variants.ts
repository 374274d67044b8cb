// A raw case taken apart, and spelt otherwise in the ways that do not change what it means: names, escapes, white space, order, what stands beside it.
// For tests only.
import fc from 'fast-check'

export type Field = { readonly name: string; readonly before: string; readonly value: string; readonly behind: string; /** Not of the case: it means nothing. */ readonly added: boolean }
/** Lines end as `end` says, by their place from the request line on; the empty line is the last. */
export type Draft = {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly fields: readonly Field[]
  readonly rest: string
  readonly end: (line: number, lines: number) => string
}

export type Vary = (draft: Draft) => fc.Arbitrary<Draft>

const CRLF = '\r\n'

export const field = (name: string, value: string, more: Partial<Field> = {}): Field => ({ name, before: ' ', value, behind: '', added: false, ...more })

export function draftOf(raw: string): Draft {
  const end = raw.indexOf(CRLF + CRLF)
  const [line = '', ...lines] = raw.slice(0, end).split(CRLF)
  const [method = '', target = '', version = ''] = line.split(' ')
  const fields = lines.map(text => field(text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1).replace(/^ /, ''), { before: / ?/.exec(text.slice(text.indexOf(':') + 1))?.[0] ?? '' }))
  return { method, target, version, fields, rest: raw.slice(end + 4), end: () => CRLF }
}

/** One character, one octet. */
export function bytesOf({ method, target, version, fields, rest, end }: Draft): string {
  const lines = [[method, target, version].filter((part, i) => part !== '' || i < 2).join(' '), ...fields.map(({ name, before, value, behind }) => `${name}:${before}${value}${behind}`), '']
  return lines.map((line, i) => line + end(i, lines.length)).join('') + rest
}

export const valuesOf = ({ fields }: Pick<Draft, 'fields'>, name: string): readonly string[] => fields.filter(each => each.name.toLowerCase() === name).map(({ value }) => value)

// ---- letters

const flipped = (char: string): string => (char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase())

/** The same letters, large or small. */
export const cased = (text: string): fc.Arbitrary<string> => fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom(text, text.toLowerCase(), text.toUpperCase()) },
  fc.array(fc.boolean(), { minLength: text.length, maxLength: text.length }).map(flips => text.split('').map((char, i) => (flips[i] === true ? flipped(char) : char)).join('')),
)

/** With some of its dashes as underscores, perhaps none. */
export const underscored = (text: string): fc.Arbitrary<string> =>
  fc.array(fc.boolean(), { minLength: text.length, maxLength: text.length }).map(folds => text.split('').map((char, i) => (char === '-' && folds[i] === true ? '_' : char)).join(''))

// ---- what stands beside

const WORD = fc.stringMatching(/^[a-z0-9]{1,10}$/)
const MEANINGLESS = fc.oneof(
  fc.tuple(WORD.map(word => `X-Extra-${word}`), fc.oneof(fc.constantFrom('', 'chunked', '/admin', 'Transfer-Encoding: chunked', 'a, b;q=0.1', '\t', '"', '%0d%0aX: 1', '\xff'), WORD)),
  fc.tuple(fc.constantFrom('Accept', 'Accept-Language', 'Accept-Encoding', 'Cache-Control', 'X-Request-Id', 'DNT', 'Pragma'), fc.constantFrom('*/*', 'en', 'gzip', 'no-cache', 'x')),
)
const SPACE = fc.oneof({ weight: 3, arbitrary: fc.constant(' ') }, fc.constantFrom('', '\t', '   ', ' \t '))
const BEHIND = fc.oneof({ weight: 3, arbitrary: fc.constant('') }, fc.constantFrom(' ', '\t', ' \t'))

export const shuffled = <T>(all: readonly T[]): fc.Arbitrary<T[]> => fc.shuffledSubarray([...all], { minLength: all.length })

/** Names in other letters, other white space, meaningless fields among them (perhaps twice), in another order. */
export const dressed: Vary = draft => fc.tuple(
  fc.array(MEANINGLESS, { maxLength: 4 }), fc.boolean(),
  ...draft.fields.map(each => (/^[!-9;-~]+$/.test(each.name) ? fc.record({ name: cased(each.name), before: SPACE, behind: BEHIND }).map(look => ({ ...each, ...look })) : fc.constant(each))),
).chain(([more, twice, ...own]) => {
  const beside = more.map(([name, value]) => field(name, value, { added: true }))
  return shuffled([...own, ...beside, ...(twice ? beside.slice(0, 1) : [])]).map(fields => ({ ...draft, fields }))
})

// ---- targets

const escapeOf = (char: string): string => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`
const single = (char: string): readonly string[] => [escapeOf(char), escapeOf(char).toUpperCase()]

/** Other forms of a character of a path that a server folds back. */
export type Forms = (char: string) => readonly string[]
export const SINGLE: Forms = char => (/[A-Za-z0-9.~_-]/.test(char) ? single(char) : [])
export const LOOSE: Forms = char => {
  if (char === '/') return ['//', '/./', '/x/../', '/;v=1/', '/%2e/', '/x/%2E%2e/', '%2f', '%2F', '\\', '%5c', '%5C', '%252f', '%255C', '/.;a=b/', '%ef%bc%8f', '%c0%af', '///', '/x/..;y/']
  if (char === '.') return [...single(char), '%252e', '%ef%bc%8e', '%c0%ae', '%u002e']
  return /[A-Za-z]/.test(char) ? [...single(char), flipped(char), `%25${escapeOf(char).slice(1)}`] : char === ';' ? [...single(char), ';;'] : []
}
const QUERY = fc.constantFrom('', '', '', '?', '?a=b', '?next=/public/x', '?../public', '?;', '?a=%2e%2e%2f')

/** Up to four characters in other forms, and perhaps a query. `holds` says whether it still is the case. */
export function respelt(target: string, forms: Forms, holds: (target: string) => boolean): fc.Arbitrary<string> {
  const query = target.includes('?') || target.includes('#') ? fc.constant('') : QUERY
  return fc.tuple(fc.array(fc.noBias(fc.tuple(fc.nat(1_000), fc.nat(1_000))), { maxLength: 4 }), query).map(([changes, asked]) => {
    const chars = target.split('')
    for (const [at, which] of changes) {
      const place = at % chars.length
      const others = chars[place]?.length === 1 ? forms(chars[place]) : [] // each of them once
      if (others.length > 0) chars[place] = others[which % others.length] ?? ''
    }
    return chars.join('') + asked
  }).filter(holds)
}

/** The method makes no difference to a path. */
export const METHODS: fc.Arbitrary<string> = fc.constantFrom('GET', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'REPORT')

// ---- trouble that is no case yet

const PIECES = [
  '/', '/', '/', '//', '/./', '/../', '/..;/', '/.;a=b/', '/;x/', ';x=1', ';', '\\', '..\\', '%5c', '%5C', '%2f', '%2F', '%252f', '..', '.', '%2e', '%2E', '%2e%2e', '%252e',
    '..%2f', '..%5c', '%2e%2e%2f',
  'admin', 'admin', 'admin', 'ADMIN', 'Admin', 'admin/x', '%61dmin', '%41DMIN', 'adm%69n', 'a%64min', '%2561dmin', 'a%2564min', 'public', 'public/x', 'x', 'api..', 'app1', 'users',
    '%00', '%09', '%0a', '%3b', '%3Ba=b', '%253b',
  '~', '%7e', '%c0%ae', '%c0%af', '%e0%80%af', '%ef%bc%8f', '%ef%bc%8e', '%ef%bc%bc', '%e2%88%95', '%u002e', '%u002f', '%', '%zz', '%2', '.json', '*', ':', '@', 'é', '%C3%A9', '$',
    '%25', '+', '=', '!', '(', '%41', ',',
]

/** Paths biased to whatever once went round a gateway. */
export const troublePath: fc.Arbitrary<string> = fc.oneof(
  { weight: 2, arbitrary: fc.array(fc.constantFrom(...PIECES), { minLength: 1, maxLength: 7 }).map(pieces => `/${pieces.join('')}`) },
  { weight: 2, arbitrary: respelt('/admin/x', LOOSE, () => true) },
  respelt('/public/../admin', LOOSE, () => true),
  respelt('/ADMIN;v=1/x', LOOSE, () => true),
  { weight: 2, arbitrary: respelt('/public/adm.in/;p=1/x', SINGLE, () => true) },
  fc.tuple(fc.constantFrom('http://api.test', 'HTTP://API.TEST', 'http://other.test', '', '*', 'http://api.test:80',
    '//api.test'), respelt('/admin/x', LOOSE, () => true)).map(([authority, path]) => authority + path),
).filter(target => target !== '' && !/\s/.test(target))

/** Header names that are believed, in any letters and with any underscores, perhaps nominated to be dropped, among those that are not. */
export const troubleFields = (believed: readonly string[]): fc.Arbitrary<readonly (readonly [name: string, value: string])[]> => {
  const name = fc.constantFrom(...believed).chain(known => fc.oneof(cased(known), underscored(known).chain(cased)))
  const forged = fc.tuple(name, fc.constantFrom('forged', 'forged, forged', 'for=forged', '/admin?forged', 'Bearer forged')).map(pair => [pair] as const)
  const nominated = fc.tuple(name, fc.constantFrom('close, ', 'keep-alive,', '')).map(([known, with_]) => [['Connection', `${with_}${known}`], [known, 'forged']] as const)
  const folded = name.map(known => [['X-Extra', `a\r\n ${known}: forged`]] as const)
  const plain = fc.constantFrom([['X-Extra', 'b']] as const, [['Cookie', 'a=forged']] as const, [['X-Extra', 'Narrowgate-Subject: forged']] as const)
  return fc.array(fc.oneof({ weight: 4, arbitrary: forged }, nominated, folded, { weight: 3, arbitrary: plain }), { maxLength: 3 }).map(groups => groups.flat())
}

// ---- the cases

const FORGED = fc.stringMatching(/^forged[a-z0-9]{4,8}$/)
const pick = fc.constantFrom
const isThreat = ({ name }: Field): boolean => !/^(?:host|authorization|content-length|transfer-encoding|trailer|connection|cookie|user-agent)$/i.test(name)

const withTarget = (targets: (draft: Draft) => fc.Arbitrary<string>, methods = METHODS): Vary => draft => fc.tuple(targets(draft), methods).map(([target, method]) => ({ ...draft, target, method }))
/** @param holds whether the target still is the case's */
const path = (forms: Forms, holds: (target: string) => boolean, methods = METHODS): Vary => withTarget(draft => respelt(draft.target, forms, holds), methods)
const oneOf = (targets: fc.Arbitrary<string>): Vary => withTarget(() => targets)

/** Every field of this name gives way to those. */
const instead = (name: string, values: fc.Arbitrary<readonly Field[]>): Vary => draft =>
  values.map(fields => ({ ...draft, fields: [...draft.fields.filter(each => each.name.toLowerCase() !== name), ...fields] }))
const lines = (name: string, values: fc.Arbitrary<string>): Vary => instead(name, values.map(value => [field(name, value)]))
const pairs = (name: string, values: fc.Arbitrary<readonly [string, string]>): Vary => instead(name, values.map(both => both.map(value => field(name, value))))

/** What is asserted, in other spellings, with values that can be told, twice, or nominated away. */
type Respell = (text: string) => fc.Arbitrary<string>
const forging = (spelt: Respell, worth: Respell, more: fc.Arbitrary<'once' | 'twice' | 'nominated'>, targets: fc.Arbitrary<string>): Vary => draft => fc.tuple(
  targets, more, FORGED, ...draft.fields.map(each => (isThreat(each) ? fc.record({ name: spelt(each.name), value: worth(each.value) }).map(look => ({ ...each, ...look })) : fc.constant(each))),
).map(([target, how, other, ...fields]) => {
  const first = fields.filter(isThreat).slice(0, 1)
  const further = how === 'once' ? [] : how === 'twice' ? first.map(each => ({ ...each, value: other })) : first.map(({ name }) => field('Connection', `close, ${name}`))
  return { ...draft, target, fields: [...fields, ...further] }
})
const anySpelling = (name: string): fc.Arbitrary<string> => underscored(name).chain(cased)
const ASSERTED = forging(anySpelling, value => (/^[/A-Z]|^admin/.test(value) ? fc.constant(value) : FORGED), pick('once', 'once', 'twice', 'nominated'), pick('/public/x',
  '/public/x', '/admin', '/public/y?admin'))
const DENIED = forging(cased, value => fc.constant(value), pick('once'), pick('/admin', '/admin/x', '/%61dmin', '/admin?a=b', '/admin/'))

/** A number of the case's own lines, counted from the request line, end in other octets. */
const ends = (other: string): Vary => draft => fc.tuple(fc.nat(50), fc.boolean()).map(([at, all]) => ({ ...draft, end: (line, count) => (all || line === at % count ? other : CRLF) }))
/** The case with its one bare LF, taken apart, has a part of its body for a field. */
const wellEnded: Vary = draft => fc.constant({ ...draft, fields: draft.fields.filter(({ name }) => name !== '').map(each => ({ ...each, value: each.value.replace('\n', '') })), rest: '0\r\n\r\n' })
/** One octet more somewhere in a value, a name or the target. */
const spoilt = (octet: string): Vary => draft => fc.tuple(fc.nat(50), fc.nat(200), fc.boolean()).map(([which, at, inName]) => {
  const put = (text: string): string => text.slice(0, at % (text.length + 1)) + octet + text.slice(at % (text.length + 1))
  if (which % (draft.fields.length + 1) === draft.fields.length) return { ...draft, target: `${draft.target}${octet}x` }
  return { ...draft, fields: draft.fields.map((each, i) => (i !== which % draft.fields.length ? each : inName ? { ...each, name: put(each.name) } : { ...each, value: put(each.value) })) }
})
const body = (rests: fc.Arbitrary<string>): Vary => draft => rests.map(rest => ({ ...draft, rest }))
const method = (methods: fc.Arbitrary<string>): Vary => draft => methods.map(each => ({ ...draft, method: each }))
const version = (versions: fc.Arbitrary<string>): Vary => draft => versions.map(each => ({ ...draft, version: each }))
const both = (first: Vary, second: Vary): Vary => draft => first(draft).chain(second)

const CHUNKED = cased('chunked')
const NUMBER = fc.nat(60).map(String)
const POSTED = method(pick('POST', 'PUT', 'PATCH', 'DELETE'))
const SMUGGLED = pick('GET /admin/smuggled HTTP/1.1\r\nHost: api.test\r\n\r\n', 'POST /admin/smuggled HTTP/1.1\r\nHost: api.test\r\nContent-Length: 0\r\n\r\n',
  'DELETE /admin/smuggled HTTP/1.0\r\n\r\n')
const CHUNKS = pick('0\r\n\r\n', '2\r\nok\r\n0\r\n\r\n', '2;a=b\r\nok\r\n00\r\n\r\n', '1;q="x"\r\no\r\n1\r\nk\r\n0\r\nX-T: 1\r\n\r\n')
const BEFORE = pick('', '2\r\nok\r\n', '3;ext=1\r\nabc\r\n')
const TRAILERS = fc.array(fc.tuple(pick(
  'Narrowgate-Subject', 'Content-Length', 'Authorization', 'Transfer-Encoding', 'Host', 'X-Forwarded-For', 'Narrowgate-Context', 'Cookie', 'Set-Cookie', 'Narrowgate_Subject',
).chain(cased), FORGED).map(([name, value]) => `${name}: ${value}\r\n`), { minLength: 1, maxLength: 3 }).map(all => all.join(''))
const hexLines = (sizes: readonly string[]): Vary => body(fc.tuple(BEFORE, pick(...sizes)).map(([before, size]) => `${before}${size}\r\nabcde\r\n0\r\n\r\n`))

const UPGRADED = (names: fc.Arbitrary<string>, tokens: fc.Arbitrary<string>): Vary => both(lines('upgrade', names), lines('connection', tokens))
const KEY = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(octets16 => Buffer.from(octets16).toString('base64'))

/** @param endangers would some server take this path for the protected one? */
export const varieties = (endangers: (target: string) => boolean): ReadonlyMap<string, Vary> => {
  const loose = path(LOOSE, endangers)
  const fragment = path(char => [...SINGLE(char), ...(char === '#' ? ['##', '#?', '?#', '#/'] : [])], target => target.includes('#'))
  return new Map<string, Vary>([
    ...['PATH-001', 'PATH-003', 'PATH-006', 'PATH-008', 'PATH-011', 'PATH-013', 'PATH-023', 'PATH-028', 'PATH-036', 'PATH-041'].map(id => [id, loose] as const),
    ['PATH-016', fragment], ['PATH-018', fragment],
    ['PATH-021', path(SINGLE, () => true)], ['PATH-026', path(SINGLE, () => true)],
    ['PATH-031', path(char => (/[A-Za-z]/.test(char) ? [flipped(char), ...single(char)] : []), () => true)],
    ['PATH-033', oneOf(pick('01', '001', '0001', '%30%31', '+1', '1.0', '0x1', '1;v=1', '-1', '1%20', '%201', '1e0', '%D9%A1', '01?a=b', '1/2', '01/', '01;x', '2', '1.', '1,1',
      '0%31').map(last => `/config/apps/http/servers/srv0/routes/${last}`))],
    ['PATH-038', oneOf(fc.tuple(cased('http'), pick('', 's'), pick('admin.internal', 'api.test.', 'api.test.evil.test', 'x@api.test', 'api.test@admin.internal', 'localhost:80',
      '127.0.0.1', '[::1]', '', 'xapi.test', 'api%2etest', 'API.TEST:x', 'admin.internal:80'), pick('/admin', '/public/x', '/public/x?a',
      '/')).map(([scheme, s, authority, rest]) => `${scheme}${s}://${authority}${rest}`))],
    ['PATH-043', ASSERTED],
    ['PATH-046', lines('host', pick('evil-api.test/api.attacker', 'evil-api.test/', 'api.test/', 'api.test/admin', 'api.test?x', 'api.test#x', 'api.test\\x', '/api.test',
      'api.test;x', 'api.test%2fx', 'evil-api.test/api.test'))],
    ['PATH-048', both(lines('host', pick('public.test@api.test', 'a:b@api.test', '@api.test', 'api.test@', 'api .test', 'api.test evil', '', ' ', '\t', 'api.test,api.test',
      'api.test, evil.test', 'api..test', '.api.test', 'api.test:', 'api.test:x', 'api.test:80:80', 'api.test:999999', '[api.test]', 'api.test\xff', 'api.test\u00a0', '-api.test',
      'http://api.test', '%61pi.test', '*.test', '[::1')), withTarget(() => pick('/admin', '/public/x')))],
    ['HDR-001', ASSERTED], ['HDR-003', ASSERTED], ['HDR-006', ASSERTED], ['HDR-013', ASSERTED],
    ['HDR-031', both(ASSERTED, draft => pick('POST', 'GET', 'PUT').map(each => ({ ...draft, method: each })))],
    ['HDR-008', both(lines('connection', pick('Narrowgate-Authenticated', 'narrowgate-authenticated', 'close, Narrowgate-Authenticated', 'NARROWGATE-AUTHENTICATED,keep-alive',
      ' Narrowgate-Authenticated ,', ',Narrowgate-Subject', 'Narrowgate-Context', 'keep-alive, Authorization', 'Host', 'X-Forwarded-For, close', 'Cookie', 'Via',
      'X-Real-IP, Narrowgate-Authenticated')), withTarget(() => pick('/admin', '/admin/x', '/%61dmin')))],
    ['HDR-011', DENIED], ['HDR-018', both(DENIED, lines('user-agent', pick('GoogleHC/1.0', 'kube-probe/1.30', 'ELB-HealthChecker/2.0', 'GoogleHC/1.0 kube-probe')))],
    ['HDR-016', DENIED], ['HDR-021', DENIED], ['HDR-033', DENIED],
    ['HDR-026', spoilt('\0')], ['HDR-028', draft => fc.tuple(pick('', 'x', 'chunked', 'narrowgate-subject: root'), pick('', ' ',
      '\t')).map(([value, before]) => ({ ...draft, fields: [...draft.fields.filter(({ name }) => name !== ''), field('', value, { before })] }))],
    ['HDR-036', both(lines('cookie', pick('app=1', 'app=1; b=2', 'app="x"', 'app=1; app=2', '$Version=1; app=1')), withTarget(() => pick('/public/x', '/public/y', '/admin')))],
    ['HDR-038', both(DENIED, lines('cookie', pick('ng_session=%ff%00;;;=', 'ng_session=', ';;;', '=', 'ng_session="', 'ng_session=\xff\xfe', 'ng_session=a; ng_session=b',
      '__Host-ng_session=%00', 'Authorization=Bearer x')))],
    ['SMG-001', both(both(lines('content-length', fc.oneof(NUMBER, pick('053',
      '5'))), lines('transfer-encoding', CHUNKED)), both(POSTED, body(fc.tuple(CHUNKS, SMUGGLED).map(parts => parts.join('')))))],
    ['SMG-003', both(pairs('content-length', fc.tuple(NUMBER, NUMBER).filter(([a, b]) => a !== b)), body(SMUGGLED))],
    ['SMG-006', both(pairs('content-length', fc.tuple(pick('', ' ',
      '\t'), NUMBER, fc.boolean()).map(([empty, number, turned]) => (turned ? [number, empty] : [empty, number]))), body(SMUGGLED))],
    ['SMG-008', both(lines('transfer-encoding', fc.tuple(pick('\xa0', '\x0b', '\x0c', '\x85', '\xad', '\x1f', '"',
      '\xef\xbb\xbf', "'"), CHUNKED, fc.boolean()).map(([junk, coding, behind]) => (behind ? coding + junk : junk + coding))), body(CHUNKS))],
    ['SMG-011', both(lines('transfer-encoding', fc.tuple(pick(',', ', ', ' ,', ',,', ' , , ',
      ',\t'), CHUNKED, fc.boolean()).map(([comma, coding, behind]) => (behind ? coding + comma : comma + coding))), body(CHUNKS))],
    ['SMG-013', both(lines('transfer-encoding', pick('chunked, identity', 'gzip, chunked', 'identity', 'chunked, gzip', 'xchunked', 'chunked;q=1', 'chunked chunked',
      'chunked, chunked', 'deflate', 'identity, chunked', 'chunked,identity', 'Chunked, Identity', 'x, chunked', 'chunke', 'chunkedd', '"chunked"', '')), body(CHUNKS))],
    ['SMG-016', both(wellEnded, draft => pick('\n', '\r', '\n\r').chain(other => ends(other)(draft)))],
    ['SMG-018', hexLines(['0x5', '0X5', '+5', '-5', '5_', '1_0', '5 x', '5g', 'g', '', ' 5', '5h', '5.0', '5,5', '\x0b5', '5\0', 'FFFFFFFFFFFFFFFFF', '10000000000000005', '5\xa0',
      '\xb25', '5;\0', '5;a=\x01'])],
    ['SMG-021', body(fc.tuple(BEFORE, pick('XX', 'X', '\r\r', '\nX', 'X\n', '\rX', '\0\0', '  ', '0', 'GET', '\r', '\n',
      '\n\r')).map(([before, junk]) => `${before}5\r\nabcde${junk}0\r\n\r\n`))],
    ['SMG-023', body(fc.tuple(BEFORE, TRAILERS).map(([before, trailers]) => `${before}0\r\n${trailers}\r\n`))],
    ['SMG-026', version(pick('HTTP/1.32', 'HTTP/0.9', 'HTTP/4294967295.255', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/3.0', 'HTTP/9.9', 'http/1.1', 'Http/1.1', 'HTTP/1.', 'HTTP/1', 'HTTP/.1',
      'HTTP/01.1', 'HTTP/1.01', 'HTTP1.1', 'HTTPS/1.1', 'HTTP/1.1x', 'HTTP/1,1', 'HTTP /1.1', 'HTTP/-1.1', 'HTTP/1.1 HTTP/1.1', 'ICY/1.1', 'SIP/2.0', ''))],
    ['SMG-028', both(oneOf(pick('/admin/x', '/admin', '/public/x')), method(pick('delete', 'get', 'post', 'options', 'head').chain(cased).filter(each => each !== each.toUpperCase())))],
    ['SMG-031', body(fc.tuple(pick('GET', 'POST', 'DELETE', 'PUT'), pick('/admin/smuggled', '/public/smuggled', '/admin', '/%61dmin/smuggled'), pick('Host: api.test\r\n',
      'hOsT: api.test\r\nX-A: b\r\n', 'Host: api.test\r\nNarrowgate-Subject: root\r\n')).map(([verb, target, head]) => `${verb} ${target} HTTP/1.1\r\n${head}\r\n`))],
    ['UPG-001', UPGRADED(pick('h2c', 'H2C', 'h2c, websocket', 'HTTP/2.0', 'TLS/1.0', 'h2', 'h2c,h2c', 'connect-udp', 'x'), pick('Upgrade, HTTP2-Settings', 'upgrade,http2-settings',
      'HTTP2-Settings, UPGRADE', 'keep-alive, Upgrade, HTTP2-Settings', 'Upgrade', ',upgrade,'))],
    ['UPG-' + '003', both(UPGRADED(pick('websocket', 'WebSocket', 'WEBSOCKET'), pick('Upgrade', 'upgrade', 'keep-alive, Upgrade',
      'Upgrade,keep-alive')), lines('sec-websocket-key', KEY))], // proven by whoever relays an upgrade; here none is
    ['UPG-006', both(oneOf(pick('admin.internal:443', 'api.test:80', 'api.test', '127.0.0.1:22', '[::1]:443', 'admin.internal', '*', 'localhost:6379',
      'ADMIN.INTERNAL:443')), draft => cased('CONNECT').map(each => ({ ...draft, method: each })))],
  ])
}
