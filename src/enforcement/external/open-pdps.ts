// Policy decision points of one configuration, with what its files hold. Nobody is asked before the first question. SPEC: PEP3
import type { PdpSettings } from '../../config/compile/pdps.ts'
import { readSecretFile } from '../../runtime/secret-file.ts'
import { Pdp, type PdpTools } from './pdp.ts'

const CA_MAX = 1024 * 1024
/** `b64token` of RFC 6750 §2.1. */
const TOKEN = /^[\w.~+/-]+=*$/

export type Pdps = ReadonlyMap<string, Pdp>

async function tokenIn(file: string): Promise<string> {
  const token = await readSecretFile(file)
  if (!TOKEN.test(token)) throw new Error(`${file}: is no bearer token`)
  return token
}

/** @throws where a file is not what it must be */
export async function openPdps(settings: ReadonlyMap<string, PdpSettings>, tools: PdpTools): Promise<Pdps> {
  const opened = [...settings.values()].map(async pdp => {
    const { name, tokenFile, caFile } = pdp
    const [token, ca] = await Promise.all([tokenFile === null ? null : tokenIn(tokenFile), caFile === null ? null : readSecretFile(caFile, CA_MAX)])
    return [name, new Pdp(pdp, { token, ca }, tools)] as const
  })
  return new Map(await Promise.all(opened))
}
