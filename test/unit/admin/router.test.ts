// From request line to operation.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OPERATION_NAMES, OPERATIONS } from '../../../src/admin/contract.ts'
import { AdminFault } from '../../../src/admin/fault.ts'
import { route } from '../../../src/admin/router.ts'

test('[ADM12] every operation is found by its own method and path, with its parameters decoded', () => {
  for (const name of OPERATION_NAMES) {
    const { method, path } = OPERATIONS[name]
    const found = route(method, path.replaceAll(/\{(\w+)\}/g, 'a%2Fb%20%C3%A4'))
    expect(found.name).toBe(name)
    expect(Object.values(found.params)).toEqual([...path.matchAll(/\{/g)].map(() => 'a/b ä'))
  }
})

test('[ADM13] parameters are never empty, never hold control characters, and queries are read once', () => {
  for (const path of ['/v1/sessions/', '/v1/anchors//x']) expect(() => route('GET', path)).toThrow(/nothing at this path/)
  for (const path of ['/v1/sessions/%00', '/v1/sessions/%0a', '/v1/sessions/%zz', `/v1/sessions/${'x'.repeat(3_000)}`]) expect(() => route('GET', path)).toThrow(/malformed/)
  expect(route('GET', '/v1/sessions?limit=3&state=any').query).toEqual({ limit: '3', state: 'any' })
  expect(() => route('GET', '/v1/sessions?limit=3&limit=4')).toThrow(/twice/)
})

test('[ADM13] any request line is an operation or an AdminFault', () => {
  fc.assert(fc.property(fc.string(), fc.oneof(fc.string(), fc.webPath(), fc.webUrl()), (method, target) => {
    try {
      expect(OPERATION_NAMES).toContain(route(method, target).name)
    } catch (error) {
      expect(error).toBeInstanceOf(AdminFault)
    }
  }))
})
