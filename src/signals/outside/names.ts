// What news from outside is called, and all that follows from it: the same on every gateway and however often it comes, so that it is done once. SPEC: OUT1, OUT8
import type { AnchorRef } from '../../core/anchor.ts'
import type { OutsideEvent } from '../../core/outside.ts'
import type { SignalId } from '../../core/signal.ts'
import { sha256 } from '../../runtime/id.ts'

type Named = Pick<OutsideEvent, 'source' | 'issuer' | 'jti'>

export const newsRef = ({ source, issuer, jti }: Named): AnchorRef => ({ kind: 'event', name: `${source}/${sha256(JSON.stringify([issuer, jti]))}` })
export const orderRef = ({ source }: Named, order: string): AnchorRef => ({ kind: 'event', name: `${source}/order/${order}` })

/** @param part what of it; empty for the news itself */
export const signalOf = ({ source, issuer, jti }: Named, part: string): SignalId => `sig_out_${sha256(JSON.stringify([source, issuer, jti]))}${part === '' ? '' : `.${part}`}` as SignalId // made of what names it

export const speaker = ({ source }: Named): string => `signals:${source}`
