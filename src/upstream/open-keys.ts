// The keys that sign what upstreams are told: the operator's file, or those kept with the state. SPEC: CTX5, CTX6
import type { ContextSettings } from '../config/compile/upstream-identity.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { ContextKeys } from './context-keys.ts'
import { FileKeys } from './file-keys.ts'
import { type KeptValues, StoredKeys } from './stored-keys.ts'

type Ports = { readonly store: KeptValues; readonly clock: Clock; readonly log: Log }

/** @throws Error where a file cannot be read or holds no such key, or the store fails */
export function openContextKeys({ keyFile, previousKeyFile, rotate }: ContextSettings, ports: Ports): Promise<ContextKeys> {
  return keyFile === null ? StoredKeys.open(ports, rotate) : FileKeys.open({ keyFile, previousKeyFile }, ports)
}
