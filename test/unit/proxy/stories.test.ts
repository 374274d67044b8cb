// What a caller reads of its own session: what happened, and nothing that an approver's credential said of the approver.
import { expect, test } from 'vitest'
import type { Heard } from '../../../src/enforcement/hub.ts'
import { sessionStory } from '../../../src/proxy/self-service/stories.ts'

test('[ADM2, APR6] a caller reads who approved, and not what the credential of that approver said', () => {
  const [parts, known] = [{}, { life: 'ses_1' }] as unknown as Parameters<typeof sessionStory> // what telling asks for
  const claims = { email: 'ann@example.test', groups: ['board'] }
  const facts = [{ what: 'elevation.approved', approver: 'idp|ann', claims }, { what: 'elevation.requested', elevation: { approvals: [{ by: 'idp|ann', claims }] } }]
  const heard = { is: 'announced', session: 'ses_1', announcement: { facts } } as unknown as Heard // facts of this test
  const text = JSON.stringify(sessionStory(parts, known).told(heard))
  expect(text).toContain('idp|ann')
  expect(text).not.toMatch(/example\.test|board/)
})
