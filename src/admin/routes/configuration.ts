// What is configured, as it runs: routes, profiles, digest; and checking or loading another one. SPEC: ADM12, CFG1
import { formatProblem, type Problem } from '../../config/problem.ts'
import type { Profile } from '../../core/policy.ts'
import type { HostPattern, Route, Rule } from '../../core/route.ts'
import { type Answer, done, spanText, timeText, told } from '../answer.ts'
import { AdminFault } from '../fault.ts'
import { type Call, type Handlers, UNSPECIFIED } from './handler.ts'

const hostText = (host: HostPattern): string => (host.is === 'any' ? '*' : host.is === 'exact' ? host.host : `*${host.suffix}`)

const ruleView = ({ name, effect, methods, paths, upgrade, anonymous, scope, condition }: Rule) =>
  ({ name, effect, methods: methods === null ? null : [...methods], paths: paths?.map(({ source }) => source) ?? null, upgrade, anonymous, scope, if: condition?.source ?? null })

const routeView = ({ name, host, path, upstream, authn, mode, rules }: Route) =>
  ({ name, host: hostText(host), path: path.source, upstream, authn, mode, rules: rules.map(ruleView) })

const profileView = (profile: Profile) => ({
  name: profile.name, title: profile.title, adds: profile.adds, eligible: profile.eligible?.source ?? null, for: spanText(profile.for), max: spanText(profile.max), purpose: profile.purposes,
  params: Object.fromEntries(profile.params), endWhen: profile.endWhen,
  approval: profile.approval && { stages: profile.approval.stages.map(({ role, count, who }) => ({ role, count, who: who?.source ?? null })), breakGlass: profile.approval.breakGlass !== null, within: profile.approval.within === null ? null : spanText(profile.approval.within), extend: typeof profile.approval.extend === 'string' ? profile.approval.extend : { once: spanText(profile.approval.extend.once) } },
})

const problemView = (problem: Problem) => {
  const { file, line, column, message, hint } = problem
  return { file, line, column, message, hint, text: formatProblem(problem) }
}

async function reload({ room, caller, body }: Call<'config.reload'>): Promise<Answer> {
  const { errors, warnings, digest } = await room.config.reload(caller.identity)
  const problems = errors.map(problemView)
  if (errors.length > 0) throw new AdminFault('invalid_configuration', 'the file has errors; what ran before still runs', { more: { digest, problems } })
  return done({ digest, warnings: warnings.map(problemView), ...(body.reason === undefined ? { reasonMissing: true, reason: UNSPECIFIED } : {}) }, digest)
}

export const CONFIGURATION_HANDLERS: Handlers<'route.list' | 'profile.list' | 'config.get' | 'config.validate' | 'config.reload'> = {
  'route.list': ({ room }) => told({ routes: room.mirror.policy.routes.map(routeView) }),
  'profile.list': ({ room }) => told({ profiles: [...room.mirror.policy.profiles.values()].map(profileView) }),
  'config.get': ({ room }) => {
    const { digest, loadedAt, file, warnings } = room.config.current()
    return told({ digest, loadedAt: timeText(loadedAt), file, warnings: warnings.map(problemView) })
  },
  'config.validate': async ({ room, text }) => {
    const { errors, warnings } = await room.config.validate(text)
    return told({ ok: errors.length === 0, problems: errors.map(problemView), warnings: warnings.map(problemView) })
  },
  'config.reload': reload,
}
