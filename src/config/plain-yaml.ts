// YAML or JSON of files that are no configuration, such as lists of API keys, as plain data. SPEC: CFG6
import { parse } from 'yaml'

/** @throws YAMLParseError on anything that is neither */
export const plainYaml = (text: string): unknown => parse(text, { maxAliasCount: 0, uniqueKeys: true }) as unknown
