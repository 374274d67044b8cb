// The names a condition may use, once: environments are built from it, and so is the reference.
// There is no `now`: time belongs to `for`, `max` and `until`, which give exact instants. SPEC: CFG4
export type Root = 'stats' | 'outcome' | 'window' | 'route' | 'subject' | 'request' | 'path' | 'source' | 'session' | 'elevation' | 'body' | 'mcp' | 'ticket' | 'purpose' | 'params' | 'identity'

type Member = { readonly type: string; readonly says: string }
type RootEntry = { readonly type: string; readonly says: string; readonly members: { readonly [name: string]: Member } }

const number = (says: string): Member => ({ type: 'double', says })
const flag = (says: string): Member => ({ type: 'bool', says })
const text = (says: string): Member => ({ type: 'string', says })

export const VOCABULARY: { readonly [R in Root]: RootEntry } = {
  subject: {
    type: 'Subject', says: 'The caller.',
    members: {
      kind: text('`agent`, `service`, `ci`, `operator` or `person`'),
      issuer: text('who vouches for it'),
      subject: text('its name at the issuer'),
      tenant: text('its tenant, or empty'),
      client: text('the client it uses, or empty'),
      owner: text('who answers for it, or empty'),
      claims: { type: 'map<string, dyn>', says: 'claims of the newest verified credential; numbers are doubles' },
    },
  },
  request: {
    type: 'Request', says: 'The request as it is forwarded.',
    members: {
      method: text('upper case'),
      host: text('lower case, without port'),
      path: text('canonical, without query'),
      query: text('with its `?`, or empty'),
      headers: { type: 'map<string, string>', says: 'by lower-case name; several values are joined with `, `' },
      headerValues: { type: 'map<string, list<string>>', says: 'by lower-case name all values, in their order' },
      queryValues: { type: 'map<string, list<string>>', says: 'by name all values of the query, decoded and in their order' },
    },
  },
  path: { type: 'map<string, string>', says: 'The parameters of the path patterns, percent-decoded.', members: {} },
  source: {
    type: 'Source', says: 'Where the request comes from; `source.inCidr("10.0.0.0/8")` tests the address.',
    members: { address: text('the address the gateway believes') },
  },
  session: { type: 'Session', says: 'The session.', members: { id: text('its id, or empty') } },
  elevation: {
    type: 'Elevation', says: 'The elevation under which the request is asked; on baseline a condition that reads it is false.',
    members: {
      id: text('its id'),
      profile: text('the profile it is a use of'),
      purpose: { type: 'map<string, string>', says: 'what it was granted for, by kind' },
      params: { type: 'map<string, dyn>', says: 'what its requester filled in' },
    },
  },
  body: { type: 'map<string, dyn>', says: 'The JSON object in the body, on rules with `inspect: json`; in the `map` of a connector, what it was sent or got. Numbers are doubles.', members: {} },
  mcp: {
    type: 'Mcp', says: 'What a message of MCP asks for; only on routes with `mcp`.',
    members: {
      method: text('its method, such as `tools/call`'),
      tool: text('the tool that is called, or empty'), prompt: text('the prompt that is asked for, or empty'), uri: text('the resource, or empty'),
      class: text('what `mcp.tools` of the route says the tool is: `read`, `write`, `irreversible` or `admin`; or empty'),
      labels: { type: 'list<string>', says: 'its labels, likewise' },
      args: { type: 'map<string, dyn>', says: 'what the tool or prompt is called with; numbers are doubles, or ints where `mcp.tools` says `int`' },
    },
  },
  stats: {
    type: 'Stats', says: 'What the caller did of late, on all gateways together; only in `risk`. Numbers are doubles.',
    members: {
      requestsPerMinute: number('requests of the last minute, this one among them'), requests5m: number('of the last five minutes'),
      refusalsPerMinute: number('refused requests of the last minute'), refusals5m: number('of the last five minutes'),
      bytesPerMinute: number('bytes of bodies, both ways, of the last minute'), bytes5m: number('of the last five minutes'),
      tenantsSeen: number('distinct tenants touched within ten minutes, by `tenant` of the routes'), pathsSeen: number('distinct paths, likewise'),
      toolsSeen: number('distinct tools, likewise: labels, gRPC methods, otherwise rules'), sourcesSeen: number('distinct networks it came from, likewise'),
      firstTenant: flag('the request touches a tenant it never touched before, and others it did'), firstTool: flag('likewise of tools'), firstSource: flag('likewise of the network it comes from'),
      unusualRoute: flag('the rule is none of those it normally uses, once that is learned'),
      sessions: number('live sessions of it on this gateway'),
    },
  },
  outcome: {
    type: 'Outcome', says: 'What became of the request; only in `risk`.',
    members: { refused: flag('it was refused; false while it is not judged yet'), reason: text('why, or empty') },
  },
  window: { type: 'Windows', says: 'The windows of the file: `window.open("release-window")`; only in `risk`.', members: {} },
  route: { type: 'Route', says: 'Where the request goes; only in `risk`.', members: { name: text('the route'), rule: text('the rule, such as `crm#2`; empty where none matches'), label: text('what the rule calls what it touches, or empty') } },
  ticket: { type: 'map<string, dyn>', says: 'What its connector says of the ticket an elevation is for, or without one of the first of its purposes that has a connector, such as its run; only in `elevations`. What it does not say is an error, and refuses.', members: {} },
  purpose: { type: 'map<string, string>', says: 'What an elevation is for, by kind; only in `elevations`.', members: {} },
  params: { type: 'map<string, dyn>', says: 'What its requester filled in; only in `elevations`.', members: {} },
  identity: { type: 'map<string, dyn>', says: 'The claims of an operator’s credential; only in `admin.auth`, where nothing else can be read.', members: {} },
}

export const ROOTS = Object.keys(VOCABULARY) as readonly Root[] // keys of the literal above
