// What is posted to Slack, and how much of a notice somebody who asks can shape.
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import type { Notice } from '../../../src/notify/notice.ts'
import { fitting } from '../../../src/notify/notice.ts'
import { SlackChannel } from '../../../src/notify/slack.ts'
import { notice, Receiver } from './receiver.ts'

type Text = { readonly type: string; readonly text: string }
type Posted = { readonly text: string; readonly blocks: readonly { readonly type: string; readonly text?: Text; readonly elements?: readonly { readonly type: string; readonly url: string; readonly text: Text }[] }[] }

let receiver: Receiver | null = null
afterEach(async () => {
  await receiver?.close()
  receiver = null
})

async function posted(more: Partial<Notice>): Promise<Posted> {
  receiver = await Receiver.start(response => void response.end('ok'))
  const { got, counted } = receiver
  const notifier = receiver.notifier(new SlackChannel(receiver.url('/services/T0/B0/s3cret')))
  notifier.tell(['oncall'], notice('a', more))
  await expect.poll(() => counted).toEqual(['slack sent'])
  await notifier.stop()
  expect(got[0]?.headers['content-type']).toBe('application/json')
  return JSON.parse(got[0]?.body ?? '') as Posted // the form under test
}

test('[NOT1] Slack gets the line as plain text, escaped, and a button that is the link to the console', async () => {
  const { text, blocks } = await posted({ text: '<!here> *approved* & <https://evil.example|harmless>' })
  const line = '&lt;!here&gt; *approved* &amp; &lt;https://evil.example|harmless&gt;'
  expect(text).toBe(line)
  expect(blocks).toEqual([
    { type: 'section', text: { type: 'plain_text', text: line, emoji: false } },
    { type: 'actions', elements: [{ type: 'button', action_id: 'open_console', text: { type: 'plain_text', text: 'Open in the console', emoji: false }, url: 'https://gate.example/console/elevations/elv_1' }] },
  ])
})

test.each([null, 'https://gate.example/console?token=abc', 'https://op:pw@gate.example/', 'javascript:alert(1)', `https://gate.example/${'x'.repeat(2_000)}`])('[NOT1] there is no button for the link %s', async link => {
  expect((await posted({ link })).blocks.map(({ type }) => type)).toEqual(['section'])
})

test('[NOT1] no text is longer for Slack than it takes, and none is cut inside of a character or an escape', () => {
  const channel = new SlackChannel(new URL('https://hooks.slack.example/'))
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom('&', '<', 'a', '🔥', 'é'), maxLength: 3_000 }), text => {
    const { text: line } = JSON.parse(channel.letter(notice('a', { text })).body) as Posted // the form under test
    expect(line.length).toBeLessThanOrEqual(3_000)
    expect(line.isWellFormed()).toBe(true)
    expect(line.replace(/&(amp|lt|gt);/g, '')).not.toMatch(/[&<>]/)
  }))
})

test('[NOT1] an address of Slack is a secret: no log has it', async () => {
  receiver = await Receiver.start(response => void response.writeHead(404).end())
  const { logged, counted } = receiver
  const notifier = receiver.notifier(new SlackChannel(receiver.url('/services/T0/B0/s3cret')))
  notifier.tell(['oncall'], notice('a'))
  await expect.poll(() => counted).toEqual(['slack failed'])
  await notifier.stop()
  expect(logged).toHaveLength(1)
  expect(logged.join('\n')).not.toContain('s3cret')
})

test('[NOT1] a notice is one line of bounded length, and too much data is left out rather than the notice', () => {
  const { text, data } = fitting(notice('a', { text: `deploy\r\n✅ approved by root\u2028\u202Edrow${'x'.repeat(5_000)}`, data: { reason: 'x'.repeat(20_000) } }))
  expect(text).toMatch(/^deploy ✅ approved by root drowx+…$/)
  expect(text).toHaveLength(1_000)
  expect(data).toEqual({ omitted: 'too long' })
  expect(fitting(notice('b'))).toEqual(notice('b'))
})
