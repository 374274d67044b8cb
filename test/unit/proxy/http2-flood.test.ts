// The budget of one HTTP/2 connection for what comes to nothing. SPEC: WIRE16
import { describe, expect, test } from 'vitest'
import { Flood } from '../../../src/proxy/http2/flood.ts'

const SECOND = 1_000
const times = <T>(count: number, act: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => act(i))

describe('a connection\'s budget', () => {
  test('[H2-016, WIRE16] is spent by a hundred streams that died before anybody looked', () => {
    const flood = new Flood(0)
    expect(times(101, () => flood.died(false, 0)).indexOf('http2_resets')).toBe(100)
  })

  test('[WIRE16] allows five hundred that were judged, and more as time goes on', () => {
    const flood = new Flood(0)
    times(2_000, () => flood.opened(10))
    expect(times(500, () => flood.died(true, 0))).toEqual(times(500, () => null))
    expect(flood.died(true, 0)).toBe('http2_resets')
    const patient = new Flood(0)
    times(20_000, () => patient.opened(10))
    expect(times(3_000, i => patient.died(true, i * 50)).every(limit => limit === null)).toBe(true)
  })

  test('[WIRE16] does not let streams die one by one for ever, unanswered, more than half of them', () => {
    const flood = new Flood(0)
    const first = times(1_500, i => {
      flood.opened(10)
      return flood.died(true, i * SECOND)
    }).indexOf('http2_resets')
    expect(first).toBe(1_000)
  })

  test('[WIRE16] is spent by pings and by settings, each at once', () => {
    const [pings, settings] = [new Flood(0), new Flood(0)]
    expect(times(20_000, () => pings.pinged(0)).indexOf('http2_frames')).toBe(16_384)
    expect(times(2_000, () => settings.settled(0)).indexOf('http2_frames')).toBe(1_024)
  })

  test('[WIRE16] is spent by bytes that carry nothing, and not by requests, bodies or acknowledgements of what was sent', () => {
    const flood = new Flood(0)
    expect(flood.weigh(2_000_000, 0, 0, 0)).toBeNull()
    expect(flood.weigh(2_200_000, 0, 0, 0)).toBe('http2_frames')
    const busy = new Flood(0)
    times(100, () => busy.opened(1_000_000))
    times(100, () => busy.carried(1_000_000))
    expect(busy.weigh(200_000_000, 0, 0, 0)).toBeNull()
    const reader = new Flood(0)
    expect(times(100, i => reader.weigh(i * 10_000_000, i * 500_000_000, 0, i * SECOND)).every(limit => limit === null)).toBe(true)
  })

  test('[WIRE16] saves nothing up beyond its size', () => {
    const flood = new Flood(0)
    times(1_000, () => flood.carried(10_000_000))
    expect(flood.weigh(0, 0, 0, 1_000_000)).toBeNull()
    expect(flood.weigh(3_000_000, 0, 0, 1_000_000)).toBe('http2_frames')
  })

  test('[WIRE16] holds nothing against a caller that is held here, as long as it is, and counts nothing twice when it is taken', () => {
    const flood = new Flood(0)
    expect(flood.weigh(8_000_000, 0, 8_000_000, 0)).toBeNull()
    flood.carried(8_000_000)
    expect(flood.weigh(8_000_000, 0, 0, 0)).toBeNull()
    expect(flood.weigh(10_000_000, 0, 0, 0)).toBeNull()
    expect(flood.weigh(10_100_000, 0, 0, 0)).toBe('http2_frames')
  })

  test('[WIRE16] excuses what is on its way of bodies that were ended here: a window of each, of no more than may be open, and not for ever', () => {
    const ended = (count: number): Flood => {
      const flood = new Flood(0)
      times(count, () => flood.overtook(0))
      return flood
    }
    expect(ended(100).weigh(100 * 65_536, 0, 0, 0)).toBeNull()
    expect(ended(1).weigh(2_097_152 + 65_536, 0, 0, 0)).toBeNull()
    expect(ended(1).weigh(2_097_152 + 90_000, 0, 0, 0)).toBe('http2_frames')
    expect(ended(10_000).weigh(13_000_000, 0, 0, 0)).toBe('http2_frames')
    expect(ended(100).weigh(100 * 65_536, 0, 0, 31 * SECOND)).toBe('http2_frames')
    const spent = ended(100)
    expect([spent.weigh(8_000_000, 0, 0, 0), spent.weigh(11_000_000, 0, 0, 0)]).toEqual([null, 'http2_frames'])
  })
})
