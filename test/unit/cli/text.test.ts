// Data as text: YAML that reads back the same, tables that obey no terminal, targets, exit codes.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EXIT, exitOfStatus } from '../../../src/cli/exit-code.ts'
import { recordText, tableText } from '../../../src/cli/table-text.ts'
import { selectorOf, targetOf } from '../../../src/cli/target.ts'
import { yamlText } from '../../../src/cli/yaml-text.ts'
import { plainYaml } from '../../../src/config/plain-yaml.ts'

test('[ADM10] YAML reads back as the same value, whatever it is', () => {
  fc.assert(fc.property(fc.jsonValue(), value => {
    expect(plainYaml(yamlText(value))).toEqual(JSON.parse(JSON.stringify(value)))
  }))
  const awkward = ['yes', 'null', '~', '-', '- a', 'a: b', '#x', '1e3', '0x1', '', ' ', '2027-01-31', '!x', '&a', '*a', "it's", 'a\nb', '\u2028', '\u0085', '{', '@', '<<', '=']
  for (const text of awkward) expect(plainYaml(yamlText({ [text]: [text, { [text]: text }] }))).toEqual({ [text]: [text, { [text]: text }] })
})

test('[ADM10] no control character reaches the terminal, and columns are aligned', () => {
  const bell = '\u001b[31mred\u0007\u202e'
  const shown = tableText(['a', 'b'], [[bell, 1], ['x', null]]) + recordText({ [bell]: bell, list: [{ [bell]: bell }] })
  expect(shown.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  expect(tableText(['id', 'n'], [['long-one', 1], ['s', 22]])).toBe('ID        N\nlong-one  1\ns         22\n')
})

test('[ADM10] a target is a session or one selector', () => {
  expect(targetOf('ses_abc')).toEqual({ is: 'session', id: 'ses_abc' })
  expect(targetOf('subject=https://idp|a=b')).toEqual({ is: 'selector', selector: { subject: 'https://idp|a=b' } })
  expect(selectorOf('all')).toEqual({ all: true })
  expect(selectorOf('issuedBefore=2027-01-31T01:00:00+01:00')).toEqual({ issuedBefore: '2027-01-31T00:00:00.000Z' })
  expect(selectorOf('issuedBefore=2027-01-31T01:00:00+01:00,subject=https://idp|a,subject=b')).toEqual({ issuedBefore: '2027-01-31T00:00:00.000Z', subject: 'https://idp|a,subject=b' })
  expect(['keyId=https://idp|k1', 'device=d=1', 'workload=pod/1', 'parent=ses_abc'].map(selectorOf)).toEqual([{ keyId: 'https://idp|k1' }, { device: 'd=1' }, { workload: 'pod/1' }, { parent: 'ses_abc' }])
  for (const text of ['', 'subject=', '=x', 'who=x', 'all=x', 'constructor=x', 'issuedBefore=soon', 'issuedBefore=now,subject=', 'issuedBefore=now,tenant=x', 'issuedBefore=,subject=x', 'issuedBefore=now,', 'keyId=']) expect(() => targetOf(text)).toThrow()
})

test('[ADM10] exit codes are these and stay these', () => {
  expect(EXIT).toEqual({ ok: 0, failure: 1, usage: 2, configuration: 3, tests: 4, denied: 5, notFound: 6, conflict: 7, timedOut: 8, unreachable: 9, auditBroken: 10 })
  expect([200, 202, 400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 500, 503].map(status => EXIT[exitOfStatus(status)])).toEqual([0, 0, 2, 5, 5, 6, 8, 7, 2, 2, 1, 3, 1, 1])
})
