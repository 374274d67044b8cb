// What a principal is called where it must not be read: the same in every session, on every gateway, and in the trail. SPEC: RSK1
import type { Principal } from '../core/principal.ts'
import { sha256 } from './id.ts'

export type PrincipalNamed = Pick<Principal, 'issuer' | 'tenant' | 'subject' | 'client'>

export const principalName = ({ issuer, tenant, subject, client }: PrincipalNamed): string => sha256(JSON.stringify([issuer, tenant, subject, client]))
