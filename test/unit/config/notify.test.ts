// Channels as a file names them, and each way in which they cannot be meant.
import { describe, expect, it } from 'vitest'
import { channelsNamed, channelsOf, publicUrlOf } from '../../../src/config/compile/notify.ts'
import type { Compilation } from '../../../src/config/compile/context.ts'
import { parse } from '../../../src/config/parse.ts'
import { Report } from '../../../src/config/report.ts'
import { document } from '../../../src/config/schema/document.ts'
import { problems, SMALL, WORLD } from './fixture.ts'

function compilation(more: string, exists = true): Compilation {
  const parsed = parse(`${SMALL}${more}\n`, 'test.yaml')
  if (!parsed.ok) throw new Error('no YAML')
  return { config: document.parse(parsed.document.toJS()), report: new Report(parsed.map, []), environment: { ...WORLD, exists: () => exists } }
}

/** What is said of it, with its line in the file. */
function said(more: string, exists = true): readonly string[] {
  const c = compilation(more, exists)
  channelsOf(c)
  publicUrlOf(c)
  return c.report.errors.map(({ message }) => message)
}

const HOOK = 'secretFile: /s/hook'

describe('channels', () => {
  it('[CFG2, NOT1] are webhooks or Slack, by name', () => {
    const c = compilation(`notify:\n  oncall: { webhook: { url: "https://HOOKS.example/sre?team=1", ${HOOK} } }\n  local: { webhook: { url: http://127.0.0.1:9/, ${HOOK}, caFile: ca } }\n  chat: { slack: { urlFile: url, buttons: link } }`)
    expect([...channelsOf(c)]).toEqual([
      ['oncall', { is: 'webhook', url: 'https://hooks.example/sre?team=1', secretFile: '/s/hook', caFile: null }],
      ['local', { is: 'webhook', url: 'http://127.0.0.1:9/', secretFile: '/s/hook', caFile: '/work-dir/ca' }],
      ['chat', { is: 'slack', urlFile: '/work-dir/url' }],
    ])
    expect(c.report.errors).toEqual([])
    expect(channelsOf(compilation('')).size).toBe(0)
  })

  it.each([
    ['{}', 'a channel is exactly one of `webhook` and `slack`'],
    [`{ webhook: { url: https://h.example, ${HOOK} }, slack: { urlFile: u } }`, 'a channel is exactly one of `webhook` and `slack`'],
    [`{ webhook: { url: http://h.example, ${HOOK} } }`, 'what is told there must not be read on the way'],
    ...['h.example', 'ftp://h.example', 'https://a:b@h.example', 'https://h.example/#x'].map(url => [`{ webhook: { url: "${url}", ${HOOK} } }`, 'expected an https URL without credentials and fragment']),
  ])('[CFG3, NOT1] are refused where they are %s', (written, message) => {
    expect(said(`notify: { oncall: ${written} }`)).toEqual([message])
  })

  it('[CFG3, NOT1] need their files', () => {
    expect(said(`notify: { a: { webhook: { url: https://h.example, ${HOOK}, caFile: ca } }, b: { slack: { urlFile: url } } }`, false)).toEqual(
      ['/s/hook', 'ca', 'url'].map(file => `the file ${file} does not exist or cannot be read`))
  })

  it('[CFG2, NOT1] have no button that does more than open a link, and no key beside', () => {
    expect(problems(`${SMALL}notify: { a: { slack: { urlFile: url, buttons: approve } } }\n`)).toHaveLength(1)
    expect(problems(`${SMALL}notify: { a: { slack: { url: "https://hooks.example" } } }\n`).length).toBeGreaterThan(0)
    expect(problems(`${SMALL}notify: { a: { webhook: { url: https://h.example } } }\n`).length).toBeGreaterThan(0)
  })

  it('[CFG3, NOT1] that are named must be there', () => {
    const c = compilation('notify: { oncall: { slack: { urlFile: u } } }')
    expect(channelsNamed(c, ['notify'], ['oncall', 'oncall'])).toEqual(['oncall'])
    expect(c.report.errors).toEqual([])
    channelsNamed(c, ['notify'], ['oncal', 'toString'])
    expect(c.report.errors.map(({ message, hint }) => [message, hint])).toEqual([
      [`there is no channel 'oncal'`, `did you mean 'oncall'?`], [`there is no channel 'toString'`, 'name one of `notify`'],
    ])
  })
})

describe('the address in links', () => {
  it('[CFG2, NOT1] is https, without query or fragment, and ends without a slash', () => {
    expect(publicUrlOf(compilation(''))).toBeNull()
    expect(publicUrlOf(compilation('admin: { publicUrl: "https://gate.example/ops/" }'))).toBe('https://gate.example/ops')
    for (const url of ['http://gate.example', 'https://gate.example?token=x', 'https://gate.example/#x', 'https://op:pw@gate.example', 'gate.example']) {
      expect(said(`admin: { publicUrl: "${url}" }`), url).toHaveLength(1)
    }
  })
})
