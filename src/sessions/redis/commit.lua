-- The one write: record, places in the index, facts, operation, log entry and announcement, all or nothing.

-- c: ref v mac body hs forget facts news flags nonce
local function write(p, m, c)
  local key = p .. 'r:' .. c.ref
  local before = redis.call('GET', key)
  local seen, _, hs = parts(before or '')
  local gone = c.forget ~= '' and tonumber(c.forget) <= m.now
  index_replace(p, hs or '', gone and '' or c.hs, c.ref)
  local kind = kind_of(c.ref)
  if gone then
    redis.call('DEL', key)
    if kind ~= 'session' then redis.call('SREM', p .. 'n:' .. kind, c.ref) end
  else
    redis.call('SET', key, table.concat({ seen or NEVER, c.v, c.hs, c.mac, c.body }, S))
    if c.forget ~= '' then redis.call('PEXPIREAT', key, c.forget) end
    if kind ~= 'session' then redis.call('SADD', p .. 'n:' .. kind, c.ref) end
  end
  local id = append(p, m, c)
  if c.facts ~= '[]' then redis.call('XADD', p .. 'O', id, 'r', c.ref, 'f', c.facts) end
  return id
end

local function version_of(p, ref)
  local text = redis.call('GET', p .. 'r:' .. ref)
  if not text then return '0', false end
  local _, v = parts(text)
  return v, text
end

-- Who has to acknowledge: everybody whose lease may run at this moment.
local function witnesses(p, m, flags) return { int(m.now), m.epoch, m.es, m.set, flags == 'a' and redis.call('HGETALL', p .. 'R') or {} } end

local function with_ahead(p, m, a)
  if not a[17] then return '' end
  if version_of(p, a[17]) ~= a[18] then return '' end
  return write(p, m, { nonce = a[1] .. 'a', flags = a[16], ref = a[17], v = a[19], mac = a[20], body = a[21], hs = '', forget = a[22], facts = a[23], news = a[24] })
end

-- KEYS m  ARGV 1 nonce 2 shards 3 operation 4 ref 5 expectedVersion|'' 6 expectedEpoch|'' 7 version 8 mac 9 body 10 places 11 forgetAt|'' 12 due|''
--   13 facts 14 number of facts 15 news 16 flags, and what is written where the version differs: 17 ref 18 expectedVersion 19 version 20 mac 21 body 22 forgetAt|'' 23 facts 24 news
-- -> OK id witnesses | DUP id witnesses | CONFLICT record|'' ahead|'' witnesses | EPOCH cid epoch | EARLY now | FULL entries
local function commit_of(k, a, restrictive)
  local p = shard(k)
  local m, fault = opened(p, a[1], a[2])
  if not m then return fault end
  local operation = p .. 'o:' .. a[3]
  local done = redis.call('GET', operation)
  if done then return { 'DUP', done, witnesses(p, m, a[16]) } end
  if a[6] ~= '' and a[6] ~= m.cid .. '.' .. m.epoch then return { 'EPOCH', m.cid, m.epoch } end
  if a[12] ~= '' and m.now < tonumber(a[12]) then return { 'EARLY', int(m.now) } end
  if a[5] ~= '' then
    local v, text = version_of(p, a[4])
    if v ~= a[5] then return { 'CONFLICT', text or '', with_ahead(p, m, a), witnesses(p, m, a[16]) } end
  end
  if not restrictive and redis.call('XLEN', p .. 'O') >= OUT_MAX then return { 'FULL', int(OUT_MAX) } end
  local id = write(p, m, { nonce = a[1], flags = a[16], ref = a[4], v = a[7], mac = a[8], body = a[9], hs = a[10], forget = a[11], facts = a[13], news = a[15] })
  redis.call('SET', operation, id, 'PX', REMEMBERED)
  return { 'OK', id, witnesses(p, m, a[16]) }
end

local function commit(k, a) return commit_of(k, a, false) end
local function commit_restrictive(k, a) return commit_of(k, a, true) end
