// Channels from their settings and the secret files these name.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ChannelSettings } from '../../../src/config/compile/notify.ts'
import { instant } from '../../../src/core/time.ts'
import { openChannels } from '../../../src/notify/open-channels.ts'
import { verifyWebhook, WEBHOOK_TOLERANCE } from '../../../src/runtime/standard-webhook.ts'
import { notice, SECRET } from './receiver.ts'

const NOW = instant(1_790_000_000_000)
let dir: string
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'narrowgate-notify-'))))
afterEach(() => rm(dir, { recursive: true }))

async function file(name: string, text: string): Promise<string> {
  const path = join(dir, name)
  await writeFile(path, text)
  return path
}

const open = (settings: ChannelSettings): ReturnType<typeof openChannels> => openChannels(new Map([['oncall', settings]]))

test('[NOT1] a webhook signs with what its secret file holds when the channels are opened', async () => {
  const secretFile = await file('secret', `whsec_${SECRET.toString('base64')}\n`)
  const caFile = await file('ca', 'certificates\n')
  const settings: ChannelSettings = { is: 'webhook', url: 'https://hooks.example/sre', secretFile, caFile }
  const letter = async (): Promise<unknown> => {
    const made = (await open(settings)).get('oncall')?.letter(notice('a'), NOW)
    const read = made === undefined ? null : verifyWebhook(Object.entries(made.headers).flat(), Buffer.from(made.body), [SECRET], NOW, WEBHOOK_TOLERANCE)
    return { url: made?.url.href, ca: made?.ca, read: read?.is }
  }
  expect(await letter()).toEqual({ url: 'https://hooks.example/sre', ca: 'certificates', read: 'verified' })
  await writeFile(secretFile, 'from now on another one, in plain text')
  expect(await letter()).toMatchObject({ read: 'refused' })
})

test('[NOT1] Slack is asked at the address in its file, by https', async () => {
  const channel = (await open({ is: 'slack', urlFile: await file('url', 'https://hooks.slack.example/services/T0/B0/x\n') })).get('oncall')
  expect(channel?.kind).toBe('slack')
  expect(channel?.letter(notice('a'), NOW).url.href).toBe('https://hooks.slack.example/services/T0/B0/x')
  expect((await open({ is: 'slack', urlFile: await file('url', 'http://127.0.0.1:9/hook') })).size).toBe(1)
})

test.each(['http://hooks.slack.example/services/x', 'hooks.slack.example', 'https://op:pw@hooks.slack.example/', 'file:///etc/passwd'])('[NOT1] no channel is opened for the address %s, and no error tells it', async text => {
  const opened = open({ is: 'slack', urlFile: await file('url', text) })
  await expect(opened).rejects.toThrow(/^\S+url: holds no https URL$/)
})

test('[NOT1] no channel is opened without a secret that is long enough, and no error tells it', async () => {
  const opened = open({ is: 'webhook', url: 'https://hooks.example/', secretFile: await file('secret', 'hunter2'), caFile: null })
  await expect(opened).rejects.toThrow(/secret: holds no secret of 24 to 512 bytes/)
  await expect(opened).rejects.not.toThrow(/hunter2/)
  await expect(open({ is: 'slack', urlFile: join(dir, 'nowhere') })).rejects.toThrow(/nowhere: no such file/)
})
