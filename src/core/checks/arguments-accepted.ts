// SPEC: MCP4 — a tool is called with what the configuration says that it takes, and nothing else.
import { argumentsFit, traitsOf } from '../call.ts'
import { refuse } from '../decision.ts'
import type { Check } from './check.ts'

export const argumentsAccepted: Check = ({ place: { route: { mcp } }, evaluation: { action: { call } } }) =>
  mcp === null || call === null || argumentsFit(traitsOf(mcp, call), call) ? null : refuse('arguments_refused')
