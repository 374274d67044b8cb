import { describe, expect, it } from 'vitest'
import { compileCondition, compileSubjectCondition } from '../../../src/conditions/compile.ts'
import type { ConditionInput } from '../../../src/core/condition.ts'
import { CALLER, ELEVATION, INPUT } from './fixture.ts'

const PARAMS: ReadonlySet<string> = new Set(['id', 'name'])

function condition(source: string) {
  const made = compileCondition(source, PARAMS)
  if (!made.ok) throw new Error(made.faults.map(({ message }) => message).join('; '))
  return made.condition
}
const ask = (source: string, input: Partial<ConditionInput> = {}) => condition(source).test({ ...INPUT, ...input })

function fault(source: string) {
  const made = compileCondition(source, PARAMS)
  if (made.ok) throw new Error(`'${source}' compiled`)
  return made.faults[0]
}

describe('what a condition reads', () => {
  it.each([
    ['subject.kind == "ci" && subject.issuer == "https://ci.example" && subject.subject == "build-7"', 'true'],
    ['subject.tenant == "acme" && subject.client == "runner" && subject.owner == ""', 'true'],
    ['subject.claims.repository == "acme/shop"', 'true'],
    ['"oncall" in subject.claims.groups && subject.claims.nested.team == "x"', 'true'],
    ['subject.claims.level >= 3 && subject.claims.level == 5', 'true'],
    ['subject.claims.admin == true', 'true'],
    ['request.method == "GET" && request.host == "deploy.internal" && request.path == "/v1/releases/42"', 'true'],
    ['request.query.contains("dry=1")', 'true'],
    ['request.headers["x-tier"] == "gold" && request.headers.accept == "a, b"', 'true'],
    ['"x-none" in request.headers', 'false'],
    ['request.headers[?"x-none"].orValue("none") == "none"', 'true'],
    ['path.id == "42" && path.name == "a b"', 'true'],
    ['source.address == "10.20.3.4" && source.inCidr("10.20.0.0/16") && !source.inCidr("10.21.0.0/16")', 'true'],
    ['source.inCidr("2001:db8::/32")', 'false'],
    ['session.id.startsWith("ses_")', 'true'],
    ['request.path.matches("^/v1/[a-z]+/[0-9]+$")', 'true'],
    ['subject.claims.groups.exists(g, g == "oncall")', 'true'],
  ])('[DEC5] %s is %s', (source, answer) => {
    expect(ask(source)).toBe(answer)
  })

  it('[DEC5] binds the candidate elevation, and is false on baseline when it reads one', () => {
    const asked = condition('path.id in elevation.params.customers && elevation.purpose.ticket == "INC-7" && elevation.profile == "release"')
    expect(asked.readsElevation).toBe(true)
    expect(asked.test({ ...INPUT, elevation: ELEVATION })).toBe('true')
    expect(asked.test({ ...INPUT, elevation: ELEVATION, params: { id: '43', name: 'x' } })).toBe('false')
    expect(asked.test(INPUT)).toBe('false')
    expect(ask('elevation.params.level < 4 && elevation.params.dry == true', { elevation: ELEVATION })).toBe('true')
  })

  it('[DEC5] tells whether it reads the elevation, also where a local variable shares part of the name', () => {
    expect(condition('subject.kind == "ci"').readsElevation).toBe(false)
    expect(condition('["elevation"].exists(e, e == "elevation")').readsElevation).toBe(false)
    expect(condition('subject.kind == "x" || has(elevation.params.a)').readsElevation).toBe(true)
  })
})

describe('what cannot be evaluated', () => {
  it.each([
    'subject.claims.missing == "x"',
    'subject.claims.repository.team == "x"',
    'request.headers["x-none"] == "x"',
    'subject.claims.level + 1 < 10',
    'subject.claims.repository < 5',
    'subject.claims.constructor == "x"',
    'subject.claims["__proto__"] == 1',
    '1 / 0 == 1',
  ])('[DEC5] %s is an error, not an exception', source => {
    expect(ask(source)).toBe('error')
  })

  it('[DEC5] an undecodable path parameter is an error', () => {
    expect(ask('path.id == "x"', { params: { id: '%ff', name: 'n' } })).toBe('error')
    expect(ask('subject.kind == "ci"', { params: { id: '%ff', name: 'n' } })).toBe('true')
  })

  it('[CFG5] a text longer than the limit is an error for matches()', () => {
    const long = { ...INPUT.evaluation, resource: { ...INPUT.evaluation.resource, path: `/${'a'.repeat(2000)}` } }
    expect(ask('request.path.matches("^/a+$")', { evaluation: long })).toBe('error')
  })

  it('[DEC5] has() asks before it reads', () => {
    expect(ask('has(subject.claims.missing) && subject.claims.missing == "x"')).toBe('false')
  })
})

describe('what is refused at load', () => {
  it.each([
    ['subjet.kind == "ci"', 0, /Unknown variable: subjet/],
    ['subject.kid == "ci"', 8, /No such key: kid/],
    ['subject.kind == 5', 0, /no such overload/],
    ['subject.kind ==', 15, /Unexpected token/],
    ['true && now > 5', 8, /Unknown variable: now/],
    ['subject.kind', 0, /gives string, not bool/],
    ['subject.claims.admin', 0, /gives dyn, not bool/],
    ['path.idd == "x"', 5, /no path pattern here has a parameter 'idd'/],
    ['path["idd"] == "x"', 5, /no path pattern here has a parameter 'idd'/],
    ['request.headers["X-Tier"] == "x"', 16, /header names are lower case/],
    ['request.path.matches(subject.kind)', 21, /must be a literal/],
    ['["(a+)+$"].exists(p, request.path.matches(p))', 42, /must be a literal/],
    ['request.path.matches("(a+)+$")', 21, /the pattern repeats a group/],
    ['source.inCidr(subject.tenant)', 14, /must be a literal/],
    ['source.inCidr("10.0.0.0/33")', 14, /not an address block/],
    ['source.inCidr("10.0.0.1/8")', 14, /not an address block/],
    ['["a"].exists(path, path == "a")', 13, /must not be called 'path'/],
    ['cel.bind(elevation, 1, elevation == 1)', 9, /must not be called 'elevation'/],
    ['[1].all(a, [1].all(b, [1].all(c, true)))', 22, /nested more than 2 deep/],
    ['', 0, /empty/],
    [`subject.kind == "${'x'.repeat(2048)}"`, 0, /longer than 2048 bytes/],
    [`${'('.repeat(200)}true${')'.repeat(200)}`, 32, /depth/i],
  ])('[CFG4] %s', (source, at, message) => {
    expect(fault(source)).toMatchObject({ at, message: expect.stringMatching(message) as string })
  })

  it('[CFG4] says that numbers from outside are doubles', () => {
    expect(fault('1.5 + 1 < 3.0')?.hint).toMatch(/1\.0/)
  })

  it('[CFG4] says where time belongs', () => {
    expect(fault('now > 5')?.hint).toMatch(/`for`/)
  })

  it('[CFG5] the bounded form of matches() cannot be written, nor an unvetted pattern smuggled past it', () => {
    expect(compileCondition('request.path.`matches vetted`("(a+)+$")', PARAMS).ok).toBe(false)
    expect(compileCondition('dyn(request.path).matches("(a+)+$")', PARAMS).ok).toBe(false)
  })
})

describe('conditions about the caller alone', () => {
  it('[CFG4] read the subject and nothing else', () => {
    const made = compileSubjectCondition('subject.kind == "ci" && subject.claims.team == "support"')
    if (!made.ok) throw new Error('did not compile')
    expect(made.condition.test(CALLER, { team: 'support' })).toBe('true')
    expect(made.condition.test(CALLER, { team: 'sales' })).toBe('false')
    expect(made.condition.test(CALLER, {})).toBe('error')
    for (const source of ['request.method == "GET"', 'elevation.id == "x"', 'path.id == "x"', 'source.inCidr("10.0.0.0/8")']) {
      const refused = compileSubjectCondition(source)
      expect(refused.ok).toBe(false)
      if (!refused.ok) expect(refused.faults[0]?.hint).toBe('only `subject` can be read here')
    }
  })
})
