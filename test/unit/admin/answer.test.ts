// How times and lengths are written.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { spanText, timeText } from '../../../src/admin/answer.ts'
import { FOREVER, instant, parseDuration } from '../../../src/core/time.ts'

test('[ADM12] lengths are written as the configuration writes them, exactly', () => {
  expect([900_000, 3_600_000, 86_400_000, 90_000, 1_500, 0].map(spanText)).toEqual(['15m', '1h', '1d', '90s', '1500ms', '0ms'])
  fc.assert(fc.property(fc.integer({ min: 0, max: 999_999_999 }), ms => parseDuration(spanText(ms)) === ms))
})

test('[ADM12] an instant no clock reaches is no instant', () => {
  expect([timeText(null), timeText(FOREVER), timeText(instant(0))]).toEqual([null, null, '1970-01-01T00:00:00.000Z'])
})
