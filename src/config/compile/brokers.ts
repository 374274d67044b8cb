// `brokers`: who may open sessions for others, and within what. SPEC: CFG3, SES20
import type { Broker, Policy, Profile } from '../../core/policy.ts'
import { didYouMean } from '../spelling.ts'
import type { Path } from '../source-map.ts'
import { subjectCondition } from './conditions.ts'
import type { Compilation } from './context.ts'

type Written = Compilation['config']['brokers'][string]

function profilesOf({ report }: Compilation, { profiles = [] }: Written, path: Path, known: ReadonlyMap<string, Profile>): readonly string[] {
  profiles.forEach((name, i) => {
    if (!known.has(name)) report.error([...path, 'profiles', i], `there is no profile '${name}'`, didYouMean(name, [...known.keys()]) ?? 'name one of `elevations`')
  })
  return [...new Set(profiles)]
}

export function brokersOf(c: Compilation, profiles: ReadonlyMap<string, Profile>): Policy['brokers'] {
  const brokers = new Map<string, Broker>()
  for (const [name, written] of Object.entries(c.config.brokers)) {
    const path: Path = ['brokers', name]
    const { who = null, max, bind, once = null } = written
    if (max > c.config.sessions.max) c.report.error([...path, 'max'], '`max` is longer than `sessions.max`')
    const may = subjectCondition(c, [...path, 'may'], written.may)
    if (may !== null) brokers.set(name, { name, who, may, profiles: profilesOf(c, written, path, profiles), max, bindRequired: bind === 'required', once })
  }
  return brokers
}
