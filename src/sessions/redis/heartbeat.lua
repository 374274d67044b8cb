-- The proof of freshness. A write on purpose: a fenced or demoted master refuses it. Returns every entry the member has not applied, and registers it
-- only where its history is this one, after it has said again what this server lost.
local function member_value(m, lease, enforced, digest) return int(m.now + lease) .. '|' .. m.epoch .. '|' .. enforced .. '|' .. int(lease) .. '|' .. digest end
local function lease_of(value) return string.match(value, '^(%d+)|(%d+)|') end

-- An epoch is settled when everybody who was here before it has come, or can no longer act on anything older (`window` after its start). Who was here
-- is told by the last heartbeat the data knows of, however long ago; where that knows of nobody who comes, somebody may have joined later.
local function settle(p, m, window)
  if m.set == '1' then return end
  local here = redis.call('HGETALL', p .. 'R')
  if m.now < tonumber(m.es) + window then
    if m.base ~= '0-0' and m.wit ~= m.epoch then return end
    for i = 1, #here, 2 do
      local ends, epoch = lease_of(here[i + 1])
      if epoch ~= m.epoch and tonumber(ends) > tonumber(m.was) - 60000 then return end
    end
  end
  for i = 1, #here, 2 do
    local _, epoch = lease_of(here[i + 1])
    if epoch ~= m.epoch then redis.call('HDEL', p .. 'R', here[i]) end
  end
  redis.call('HSET', p .. 'm', 'set', 1)
  m.set = '1'
end

-- Comes with a history that goes on here, and was no member yet or one of an older epoch: it has said again what it knows.
local function witness(p, m, member)
  if m.set == '1' then return end
  local _, epoch = lease_of(redis.call('HGET', p .. 'R', member) or '')
  if epoch == m.epoch then return end
  redis.call('HSET', p .. 'm', 'wit', m.epoch)
  m.wit = m.epoch
end

local function forget_dead(p, m)
  if m.set ~= '1' then return end
  local here = redis.call('HGETALL', p .. 'R')
  for i = 1, #here, 2 do
    local ends = lease_of(here[i + 1])
    if tonumber(ends) < m.now - 120000 then redis.call('HDEL', p .. 'R', here[i]) end
  end
end

local function history(p, m, applied, nonce)
  if applied == '' then return 'NEW' end
  if applied == m.head then return nonce == m.headn and 'OK' or 'FORK' end
  local at = redis.call('XRANGE', p .. 'L', applied, applied)
  if at[1] == nil then return 'LOST' end
  local there = string.match(at[1][2][2], '^[^\31]*\31([^\31]*)\31')
  return there == nonce and 'OK' or 'FORK'
end

-- KEYS m  ARGV nonce shards member applied appliedNonce enforced page lease window digest epoch. Who goes by this epoch has said again what it knew, and goes to no older master any more.
-- -> status, epoch, cid, head, headNonce, now, epochStart, base, baseNonce, settled (1; 0; `late`: before this member came), born, entries
local function heartbeat(k, a)
  local p = shard(k)
  local m, fault = opened(p, a[1], a[2])
  if not m then return fault end
  local status, entries = history(p, m, a[4], a[5]), {}
  if status == 'OK' then
    for _, e in ipairs(redis.call('XRANGE', p .. 'L', '(' .. a[4], '+', 'COUNT', a[7])) do entries[#entries + 1] = e[2][2] end
  end
  local here = status == 'OK' and a[11] == m.epoch
  if here then witness(p, m, a[3]) end
  if here or status == 'NEW' then redis.call('HSET', p .. 'R', a[3], member_value(m, tonumber(a[8]), a[6], a[10])) end
  if status == 'NEW' then forget_dead(p, m) end
  settle(p, m, tonumber(a[9]))
  redis.call('HSET', p .. 'm', 'tm', int(m.now))
  return { status, m.epoch, m.cid, m.head, m.headn, int(m.now), m.es, m.base, m.basen, here and m.set or (m.set == '1' and 'late' or '0'), m.born, entries }
end

-- KEYS m  -> now, epoch, epochStart, settled, {member, value, ...}. Before an epoch of its own is begun: one that starts now and is not settled, without a number.
local function members(k)
  local p = shard(k)
  local m = meta(p)
  local here = redis.call('HGETALL', p .. 'R')
  if m.run ~= run_id() then return { int(m.now), '', int(m.now), '0', here } end
  return { int(m.now), m.epoch, m.es, m.set, here }
end

-- KEYS m  ARGV member  -> 1 when it was there
local function leave(k, a) return redis.call('HDEL', shard(k) .. 'R', a[1]) end

-- KEYS m  ARGV member subject text: enforced up to an entry, or the answer to a survey
local function acknowledge(k, a)
  redis.call('SPUBLISH', shard(k) .. 'ack', a[1] .. S .. a[2] .. S .. a[3])
  return 1
end

-- KEYS m  ARGV id selector  -> like members; asks every member
local function survey(k, a)
  redis.call('SPUBLISH', shard(k) .. 'ev', '?' .. S .. a[1] .. S .. a[2])
  return members(k)
end
