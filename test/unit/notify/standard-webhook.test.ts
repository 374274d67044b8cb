// Signed messages: what we send, as any receiver would verify it, and what we are sent.
import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { duration, instant } from '../../../src/core/time.ts'
import { WebhookChannel } from '../../../src/notify/standard-webhook.ts'
import { signedWebhook, verifyWebhook, WEBHOOK_TOLERANCE, webhookSecrets } from '../../../src/runtime/standard-webhook.ts'
import { notice, Receiver, SECRET } from './receiver.ts'

const OTHER_TEXT = 'another secret, of 32 bytes here'
const OTHER = Buffer.from(OTHER_TEXT)
const NOW = instant(1_790_000_000_400)
const BODY = Buffer.from('{"type":"ticket.closed"}')

let receiver: Receiver | null = null
afterEach(async () => {
  await receiver?.close()
  receiver = null
})

/** By the words of the specification, apart from our own code. */
const expected = (id: string, timestamp: string, body: string, secret: Buffer): string => `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`

test('[NOT1] a notice is a Standard Webhooks message, signed by each secret over exactly what is sent', async () => {
  receiver = await Receiver.start(response => void response.end())
  const notifier = receiver.notifier(new WebhookChannel(receiver.url(), null, [SECRET, OTHER]))
  notifier.tell(['oncall'], notice('ntc.1', { text: 'Ännika asks for “release”' }))
  const { got } = receiver
  await expect.poll(() => got).toHaveLength(1)
  await notifier.stop()
  const { headers = {}, body = '', rawHeaders = [] } = got[0] ?? {}
  const [id, timestamp] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])]
  expect(headers['content-type']).toBe('application/json')
  expect(String(headers['webhook-signature']).split(' ')).toEqual([expected(id, timestamp, body, SECRET), expected(id, timestamp, body, OTHER)])
  expect(Math.abs(Number(timestamp) * 1_000 - Date.now())).toBeLessThan(60_000)
  expect(JSON.parse(body)).toEqual({
    type: 'elevation.requested', timestamp: '2026-09-21T14:13:20.000Z',
    data: { profile: 'release', text: 'Ännika asks for “release”', link: 'https://gate.example/console/elevations/elv_1' },
  })
  expect(verifyWebhook(rawHeaders, Buffer.from(body), [OTHER], instant(Date.now()), WEBHOOK_TOLERANCE)).toMatchObject({ is: 'verified', id })
})

test('[NOT1] the vector of the specification is met', () => {
  const secrets = webhookSecrets('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw') ?? []
  const headers = signedWebhook('msg_p5jXN8AQM9LWM0D4loKWxJek', instant(1_614_265_330_000), '{"test": 2432232314}', secrets)
  expect(headers['webhook-signature']).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})

describe('secrets', () => {
  test('[NOT1] are base64 behind whsec_, or their own text, two lines at most', () => {
    expect(webhookSecrets(`whsec_${SECRET.toString('base64')}`)).toEqual([SECRET])
    expect(webhookSecrets(`${OTHER.toString()}\nwhsec_${SECRET.toString('base64')}`)).toEqual([OTHER, SECRET])
  })

  test.each(['', 'short', 'x'.repeat(23), 'x'.repeat(513), `whsec_${'!'.repeat(40)}`, `whsec_${Buffer.alloc(23).toString('base64')}`, `whsec_${Buffer.alloc(25).toString('base64').slice(0, -1)}`,
    `${OTHER_TEXT}\n`, `\n${OTHER_TEXT}`, `${OTHER_TEXT}\n${OTHER_TEXT}\n${OTHER_TEXT}`])('[NOT1] are never %j', text => {
    expect(webhookSecrets(text)).toBeNull()
  })
})

describe('a message we are sent', () => {
  const made = (id: string, at: number, body: Buffer, secret: Buffer): readonly string[] => Object.entries(signedWebhook(id, instant(at), body.toString(), [secret])).flat()
  const faultOf = (headers: readonly string[], body = BODY, secrets = [SECRET]): unknown => {
    const read = verifyWebhook(headers, body, secrets, NOW, WEBHOOK_TOLERANCE)
    return read.is === 'refused' ? read.fault : null
  }
  const replaced = (name: string, value: string): readonly string[] => Object.entries({ ...signedWebhook('msg_1', NOW, BODY.toString(), [SECRET]), [name]: value }).flat()

  test('[NOT1] counts when any of our secrets signed exactly it', () => {
    expect(verifyWebhook(made('msg_1', NOW, BODY, SECRET).map((text, i) => (i % 2 === 0 ? text.toUpperCase() : text)), BODY, [OTHER, SECRET], NOW, WEBHOOK_TOLERANCE))
      .toEqual({ is: 'verified', id: 'msg_1', at: 1_790_000_000_000 })
    expect(faultOf(made('msg_1', NOW, BODY, OTHER))).toBe('signature_wrong')
    expect(faultOf(made('msg_1', NOW, BODY, SECRET), BODY, [])).toBe('signature_wrong')
    expect(faultOf(replaced('webhook-id', 'msg_2'))).toBe('signature_wrong')
    expect(faultOf(replaced('webhook-timestamp', '1790000001'))).toBe('signature_wrong')
    fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
      const other = Buffer.from(bytes)
      expect(faultOf(made('msg_1', NOW, BODY, SECRET), other)).toBe(other.equals(BODY) ? null : 'signature_wrong')
    }))
  })

  test('[NOT1] may have signatures of other versions beside ours, which count for nothing', () => {
    const signature = expected('msg_1', '1790000000', BODY.toString(), SECRET)
    expect(faultOf(replaced('webhook-signature', `v1a,${'A'.repeat(86)}== ${signature}`))).toBeNull()
    expect(faultOf(replaced('webhook-signature', signature.replace('v1,', 'v2,')))).toBe('signature_wrong')
    expect(faultOf(replaced('webhook-signature', signature.slice(0, 20)))).toBe('signature_wrong')
  })

  test('[NOT1] is refused where a header is missing, repeated or of any other form', () => {
    const whole = made('msg_1', NOW, BODY, SECRET)
    const signature = whole[5] ?? ''
    for (const i of [0, 2, 4]) {
      expect(faultOf(whole.toSpliced(i, 2))).toBe('header_missing')
      expect(faultOf([...whole, ...whole.slice(i, i + 2)])).toBe('header_repeated')
    }
    for (const id of ['', 'msg.1', 'msg 1', 'msg_1, msg_1', 'x'.repeat(257)]) expect(faultOf(replaced('webhook-id', id))).toBe('header_malformed')
    for (const at of ['', '0', '01790000000', '1790000000.4', '-1', '1e9', '1790000000, 1790000000', ' 1790000000']) expect(faultOf(replaced('webhook-timestamp', at))).toBe('header_malformed')
    for (const text of ['', signature.slice(3), `${signature}, ${signature}`, ` ${signature}`, `${signature}  ${signature}`, `${signature} x`, Array.from({ length: 9 }, () => signature).join(' ')]) {
      expect(faultOf(replaced('webhook-signature', text))).toBe('header_malformed')
    }
  })

  test('[NOT1] is refused when it is older than the tolerance, or that far ahead', () => {
    const minutes = 60_000
    expect(faultOf(made('msg_1', NOW - 4.9 * minutes, BODY, SECRET))).toBeNull()
    expect(faultOf(made('msg_1', NOW + 4.9 * minutes, BODY, SECRET))).toBeNull()
    expect(faultOf(made('msg_1', NOW - 5.1 * minutes, BODY, SECRET))).toBe('timestamp_old')
    expect(faultOf(made('msg_1', NOW + 5.1 * minutes, BODY, SECRET))).toBe('timestamp_early')
    expect(verifyWebhook(made('msg_1', NOW, BODY, SECRET), BODY, [SECRET], instant(NOW + 2_000), duration(1_000))).toEqual({ is: 'refused', fault: 'timestamp_old' })
  })
})
