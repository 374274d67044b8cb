import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { filled, filledJson } from '../../../../src/signals/tickets/template.ts'

describe('places', () => {
  test('[TKT1] no id and no tenant moves a request to another place', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (id, tenant) => {
      const url = filled('https://itsm.example/t/{tenant}/issue/{id}?fields=a', { id, tenant })
      if (url === null) return
      expect(url.origin).toBe('https://itsm.example')
      expect(url.pathname.split('/').length).toBe(5)
      expect(url.pathname.startsWith('/t/')).toBe(true)
      expect(url.search).toBe('?fields=a')
      expect(url.hash).toBe('')
    }))
  })

  test.each(['.', '..', '\ud800'])('[TKT1] %j is no part of a path', value => {
    expect(filled('https://itsm.example/{tenant}/{id}', { id: value, tenant: 'a' })).toBeNull()
    expect(filled('https://itsm.example/{tenant}/{id}', { id: 'a', tenant: value })).toBeNull()
  })
})

describe('notes', () => {
  test('[TKT5] whatever is told stays within its string', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), text => {
      const made = JSON.parse(filledJson('{"comment": {"a": "x {text} y"}, "other": "{unknown}"}', new Map([['text', text]]))) as unknown
      expect(made).toEqual({ comment: { a: `x ${text} y` }, other: '{unknown}' })
    }))
  })
})
