// The small values of the file: durations, sizes, names, paths of files. Each says what it expects when it is not met.
// SPEC: CFG2
import { z } from 'zod'
import { type Duration, duration as milliseconds, parseDuration } from '../../core/time.ts'

const BYTES: { readonly [unit: string]: number } = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

const bytesIn = (text: string): number => {
  const [, digits, unit] = /^(\d+)([A-Za-z]+)$/.exec(text) ?? []
  return Number(digits) * (BYTES[unit ?? ''] ?? Number.NaN)
}

/** Written well, but longer than the core takes: above every bound. */
const FOREVER_LONG = milliseconds(Number.MAX_SAFE_INTEGER)

const span = (text: string): Duration => parseDuration(text) ?? milliseconds(Number.NaN)

/** `15m` and the like, as milliseconds; `least` and `most` are written the same way. */
export function duration(bounds: { readonly least?: string; readonly most?: string } = {}) {
  const { least = '0s', most = '365d' } = bounds
  const expected = { error: 'expected a duration such as 500ms, 30s, 15m, 1h30m or 1d' }
  return z.string(expected).regex(/^(?=\d)(?:\d{1,9}d)?(?:\d{1,9}h)?(?:\d{1,9}m)?(?:\d{1,9}s)?(?:\d{1,9}ms)?$/, expected)
    .transform(text => parseDuration(text) ?? FOREVER_LONG)
    .refine(ms => ms >= span(least), { error: `must be at least ${least}` })
    .refine(ms => ms <= span(most), { error: `must be at most ${most}` })
}

const sizeExpected = { error: 'expected a size such as 32KiB, 64MiB or 1GiB' }

const bytes = () => z.union([
  z.int(sizeExpected).min(0, sizeExpected),
  z.string(sizeExpected).regex(/^\d{1,9}(B|KiB|MiB|GiB)$/, sizeExpected).transform(text => bytesIn(text)),
])

/** `64MiB` and the like, or a plain number of bytes. */
export const size = (least: number) => bytes().refine(count => count >= least, { error: `must be at least ${least} bytes` })

/** A size where 0 stands for no limit. */
export const sizeOrNone = () => bytes()

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
/** A name given in the file: of a route, an upstream, a profile, a provider. */
export const name = () => z.string().regex(NAME, { error: 'a name has 1 to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit' })

/** A scope token of RFC 6749 §3.3. */
export const scope = () => z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/, { error: 'a scope has 1 to 128 visible characters without quotes or backslashes' })

export const condition = () => z.string({ error: 'expected a condition in CEL, as text' })

export const filePath = () => z.string().min(1, { error: 'expected the path of a file' }).max(4096)

/** A header name of RFC 9110 §5.1, in any case; compiled to lower case. */
export const headerName = () => z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, { error: 'expected a header name' }).transform(text => text.toLowerCase())

export const list = <T extends z.ZodType>(item: T, most = 256) => z.array(item, { error: 'expected a list' }).min(1, { error: 'must not be empty' }).max(most, { error: `must not have more than ${most} entries` })

/** A map by name. */
export const named = <T extends z.ZodType>(value: T, most = 512) =>
  z.record(name(), value).refine(map => Object.keys(map).length <= most, { error: `must not have more than ${most} entries` })
