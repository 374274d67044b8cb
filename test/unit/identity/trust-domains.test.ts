import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { readAuthority } from '../../../src/identity/certificate/authority.ts'
import { readLeaf } from '../../../src/identity/certificate/client-certificate.ts'
import { type Certificate, ClientAuthority, type Leaf, svidLeaf } from '../../support/tls.ts'
import { closeFronts, faultOf, Front, type TrustDomains, VERSIONS } from './handshake-front.ts'

const run = promisify(execFile)
const [HERE, THERE] = ['here.example', 'there.example']

let plain: ClientAuthority
let here: ClientAuthority
let there: ClientAuthority
let middle: ClientAuthority
let foreign: ClientAuthority
beforeAll(async () => {
  ;[plain, here, there] = await Promise.all([ClientAuthority.create('Plain'), ClientAuthority.create('Here'), ClientAuthority.create('There')])
  ;[middle, foreign] = await Promise.all([here.intermediate('Middle'), there.intermediate('Middle')])
})
afterEach(closeFronts)

const bundles = (): TrustDomains => [{ name: HERE, bundleFile: here.cert.certFile }, { name: THERE, bundleFile: there.cert.certFile }]
const open = (): Promise<Front> => Front.open(plain.cert.certFile, null, bundles())
const svid = (by: ClientAuthority, domain: string): Promise<Leaf> => by.issue({ extensions: svidLeaf(`spiffe://${domain}/ns/prod/sa/api`) })
const pemOf = ({ cert: { cert } }: ClientAuthority): string => cert
/** A leaf, and what its client sends along. */
const along = (of: Leaf, ...texts: readonly string[]): Certificate => ({ ...of, cert: [of.cert, ...texts].join('') })

/** Another certificate of an authority's key and name, by another one. */
async function crossSigned(of: ClientAuthority, name: string, by: ClientAuthority): Promise<string> {
  const file = by.bundle('')
  await run('openssl', ['req', '-x509', '-new', '-key', of.cert.keyFile, '-subj', `/CN=${name}`, '-days', '2', '-CA', by.cert.certFile, '-CAkey', by.cert.keyFile, '-out', file, '-addext', 'keyUsage=critical,keyCertSign,cRLSign'])
  return readFileSync(file, 'utf8')
}

type Shown = readonly (readonly [string, () => Promise<Certificate>])[]

describe('a SPIFFE id where trust domains have bundles', () => {
  test.each(VERSIONS)('[BND4, BND8] over %s counts by the bundle of its own trust domain, directly and below an authority that is sent along', async version => {
    const front = await open()
    const [ours, theirs] = [await svid(here, HERE), await svid(there, THERE)]
    expect((await front.call({ leaf: ours, version })).presented).toEqual(readLeaf(ours.der, 'tls'))
    expect((await front.call({ leaf: theirs, version })).presented).toEqual(readLeaf(theirs.der, 'tls'))
    expect(faultOf(await front.call({ leaf: along(await svid(middle, HERE), pemOf(middle)), version }))).toBe('shown')
    expect(faultOf(await front.call({ leaf: along(await svid(foreign, THERE), pemOf(foreign)), version }))).toBe('shown')
  })

  const counted: Shown = [
    ['with the root of another trust domain sent along', async () => along(await svid(here, HERE), pemOf(there))],
    ['with its own root, another one and itself sent along, its issuer last and twice', async () => {
      const leaf = await svid(middle, HERE)
      return along(leaf, pemOf(there), leaf.cert, pemOf(here), pemOf(middle), pemOf(middle))
    }],
    ['with an issuer of the same name and another key sent after its own', async () => {
      const leaf = await middle.issue({ extensions: [...svidLeaf(`spiffe://${HERE}/api`), 'authorityKeyIdentifier=none'] })
      return along(leaf, pemOf(middle), pemOf(foreign))
    }],
    ['of a root that another trust domain has signed too, which is sent along: what is in the bundle goes first', async () => along(await svid(here, HERE), await crossSigned(here, 'Here', there))],
    ['of an authority that another trust domain has signed too, by the certificate of its own', async () => {
      await crossSigned(middle, 'Middle', there)
      return along(await svid(middle, HERE), pemOf(middle))
    }],
  ]
  test.each(counted)('[BND8] counts %s', async (_, made) => expect(faultOf(await (await open()).call({ leaf: await made() }))).toBe('shown'))

  const refused: Shown = [
    ['minted by another trust domain', () => svid(there, HERE)],
    ['minted by another trust domain, with the root of its own sent along', async () => along(await svid(there, HERE), pemOf(here))],
    ['minted below another trust domain', async () => along(await svid(foreign, HERE), pemOf(foreign))],
    ['minted below another trust domain, with the chain of its own sent along', async () => along(await svid(foreign, HERE), pemOf(foreign), pemOf(middle), pemOf(here))],
    ['minted by an authority of no trust domain', () => svid(plain, HERE)],
    ['of a trust domain that is not listed, by one that is', () => svid(here, 'elsewhere.example')],
    ['of a trust domain that is not listed, by an authority of no trust domain', () => svid(plain, 'elsewhere.example')],
    ['of a trust domain below one that is listed', () => svid(here, `a.${HERE}`)],
    ['of a trust domain called like something every object has', () => svid(here, 'constructor')],
    ['of an authority signed by both, by the certificate of the other one', async () => along(await svid(middle, HERE), await crossSigned(middle, 'Middle', there))],
    ['of an authority signed by both, with both certificates: nobody knows which was believed', async () => along(await svid(middle, HERE), pemOf(middle), await crossSigned(middle, 'Middle', there))],
    ['of an authority signed by both, with both certificates the other way about', async () => along(await svid(middle, HERE), await crossSigned(middle, 'Middle', there), pemOf(middle))],
    ['of its own with more sent along than is looked at', async () => along(await svid(middle, HERE), ...Array.from({ length: 11 }, () => pemOf(middle)))],
    ['of its own below more authorities than are followed', async () => {
      const chain = [middle]
      for (let below = middle; chain.length < 8; chain.push(below)) below = await below.intermediate(`Deeper ${chain.length}`)
      return along(await svid(chain.at(-1) ?? middle, HERE), ...chain.map(pemOf).toReversed())
    }],
  ]
  test.each(refused)('[BND8] is refused: %s', async (_, made) => expect(faultOf(await (await open()).call({ leaf: await made() }))).toBe('unknown_authority'))

  test('[BND8] is refused where the listener also trusts another certificate of the key that signed it', async () => {
    const partly: TrustDomains = [{ name: HERE, bundleFile: here.cert.certFile }, { name: THERE, bundleFile: there.bundle(pemOf(there), await crossSigned(here, 'Here', there)) }]
    expect(faultOf(await (await Front.open(null, null, partly)).call({ leaf: await svid(here, HERE) }))).toBe('unknown_authority')
  })

  test('[BND8] without bundles counts by every authority of the listener, as before', async () => {
    const front = await Front.open(plain.bundle(pemOf(here), pemOf(there)))
    expect(faultOf(await front.call({ leaf: await svid(there, HERE) }))).toBe('shown')
    expect(faultOf(await front.call({ leaf: await svid(here, 'elsewhere.example') }))).toBe('shown')
  })

  test.each(VERSIONS)('[BND3, BND8] over %s begins every connection anew, for a session that is resumed does not tell its chain', async version => {
    const front = await open()
    const leaf = along(await svid(middle, HERE), pemOf(middle))
    const { session } = await front.call({ leaf, version })
    const [again, none] = [await front.call({ leaf, version, session }), await front.call({ version, session })]
    expect([again.reused, faultOf(again), none.reused, faultOf(none)]).toEqual([false, 'shown', false, 'none'])
  })
})

describe('a certificate without a SPIFFE id beside bundles', () => {
  test('[BND8] counts by the authorities of no trust domain alone: another one must not speak for names outside its own', async () => {
    const front = await open()
    const below = await plain.intermediate('Middle')
    expect(faultOf(await front.call({ leaf: await plain.issue() }))).toBe('shown')
    expect(faultOf(await front.call({ leaf: along(await below.issue(), pemOf(below)) }))).toBe('shown')
    expect(faultOf(await front.call({ leaf: await here.issue() }))).toBe('unknown_authority')
    expect(faultOf(await front.call({ leaf: along(await foreign.issue(), pemOf(foreign), pemOf(plain)) }))).toBe('unknown_authority')
  })

  test('[BND8] counts by nobody where there are bundles alone', async () => {
    const front = await Front.open(null, null, bundles())
    expect(faultOf(await front.call({ leaf: await here.issue() }))).toBe('unknown_authority')
    expect(faultOf(await front.call({ leaf: await plain.issue() }))).toBe('unknown_authority')
    expect(faultOf(await front.call({ leaf: await svid(here, HERE) }))).toBe('shown')
  })
})

describe('the bundles of a listener', () => {
  test('[BND4, BND8] what is revoked below them is refused', async () => {
    const [authority, lists] = [await ClientAuthority.create('Revoking'), async () => authority.bundle(readFileSync(await authority.crl(), 'utf8'))]
    const [kept, lost] = [await svid(authority, HERE), await svid(authority, HERE)]
    await authority.revoke(lost)
    const front = await Front.open(null, await lists(), [{ name: HERE, bundleFile: authority.cert.certFile }])
    expect([faultOf(await front.call({ leaf: kept })), faultOf(await front.call({ leaf: lost }))]).toEqual(['shown', 'revoked'])
  })

  test('[CFG10, BND4] compare as what they say: another certificate, or the same for another trust domain, is a change', async () => {
    const text = async (caFile: string | null, trustDomains: TrustDomains): Promise<string> => JSON.stringify(await readAuthority('public', { caFile, crlFile: null, trustDomains }))
    const [ours, theirs] = [here.cert.certFile, there.cert.certFile]
    const first = await text(null, bundles())
    expect(await text(null, [{ name: HERE, bundleFile: here.bundle('# the same\n', pemOf(here)) }, { name: THERE, bundleFile: theirs }])).toBe(first)
    const others = [await text(null, [{ name: HERE, bundleFile: theirs }, { name: THERE, bundleFile: ours }]), await text(ours, [{ name: THERE, bundleFile: theirs }]), await text(null, [{ name: HERE, bundleFile: ours }])]
    expect(new Set([first, ...others]).size).toBe(4)
  })

  test('[CFG3] one that is missing, empty or not of authorities is an error that names listener and file', async () => {
    const told = (bundleFile: string): Promise<string> => readAuthority('public', { caFile: null, crlFile: null, trustDomains: [{ name: HERE, bundleFile }] }).then(() => 'loaded', (error: Error) => error.message)
    expect(await told('/nowhere/bundle')).toBe('listener public: /nowhere/bundle: no such file')
    expect(await told(here.bundle('nothing'))).toMatch(/^listener public: \/.*pem: does not hold certificates in PEM/)
    expect(await told(here.bundle(pemOf(here), (await svid(here, HERE)).cert))).toMatch(/^listener public: \/.*pem: certificate 2 is not an authority's$/)
  })
})
