-- Reading, and what is no record. A read proves nothing by itself: who asks compares the epoch with that of its lease.

-- KEYS m  ARGV ref...  -> epoch, cid, now, record|'' ...
local function get(k, a)
  local p = shard(k)
  local m = meta(p)
  local out = { begun(m.run, m.epoch), m.cid or '', int(m.now) }
  for i = 1, #a do out[i + 3] = redis.call('GET', p .. 'r:' .. a[i]) or '' end
  return out
end

-- KEYS m  ARGV ref version ...  -> stamp, positions (from 1) of the pairs that differ
local function check(k, a)
  local p = shard(k)
  local out = { stamp(p) }
  for i = 1, #a, 2 do if version_of(p, a[i]) ~= a[i + 1] then out[#out + 1] = (i + 1) / 2 end end
  return out
end

-- KEYS m  ARGV kind cursor count  -> stamp, next cursor, record ...
local function list(k, a)
  local p = shard(k)
  local sessions = a[1] == 'session'
  local page = sessions and redis.call('SCAN', a[2], 'MATCH', p .. 'r:session/*', 'COUNT', a[3]) or redis.call('SSCAN', p .. 'n:' .. a[1], a[2], 'COUNT', a[3])
  local out = { stamp(p), page[1] }
  for _, name in ipairs(page[2]) do
    local text = redis.call('GET', sessions and name or p .. 'r:' .. name)
    if text then out[#out + 1] = string.sub(sessions and name or 'r:' .. name, (sessions and #p or 0) + 3) .. S .. text
    elseif not sessions then redis.call('SREM', p .. 'n:' .. a[1], name) end
  end
  return out
end

-- KEYS m  ARGV ref instant ...: the later of two stays; unknown records are left alone
local function touch(k, a)
  local p = shard(k)
  for i = 1, #a, 2 do
    local key = p .. 'r:' .. a[i]
    local at = string.format('%013.0f', tonumber(a[i + 1]))
    local there = redis.call('GETRANGE', key, 0, 12)
    if #there == 13 and there < at then redis.call('SETRANGE', key, 0, at) end
  end
  return 1
end

-- KEYS m  ARGV nonce shards name value ''|'first'  -> what is kept now, or FULL
local function keep(k, a)
  local p = shard(k)
  local m, fault = opened(p, a[1], a[2])
  if not m then return fault end
  local there = redis.call('HGET', p .. 'K', a[3])
  if there and a[5] == 'first' then return there end
  if not there and redis.call('HLEN', p .. 'K') >= KEPT_MAX then return redis.error_reply('NGFULL ' .. int(KEPT_MAX) .. ' named values') end
  redis.call('HSET', p .. 'K', a[3], a[4])
  return a[4]
end

-- KEYS m  ARGV name  -> value or nil
local function kept(k, a) return redis.call('HGET', shard(k) .. 'K', a[1]) end

-- KEYS m  ARGV member limit lease  -> OK, length, {id, {r, ref, f, facts}} ... | HELD milliseconds. One drainer at a time.
local function drain(k, a)
  local p = shard(k)
  local now = meta(p).now
  local held = redis.call('HGET', p .. 'm', 'dr')
  if held then
    local who, ends = string.match(held, '^(.*)|(%d+)$')
    if who ~= a[1] and tonumber(ends) > now then return { 'HELD', int(tonumber(ends) - now) } end
  end
  redis.call('HSET', p .. 'm', 'dr', a[1] .. '|' .. int(now + tonumber(a[3])))
  local out = { 'OK', redis.call('XLEN', p .. 'O') }
  for _, e in ipairs(redis.call('XRANGE', p .. 'O', '-', '+', 'COUNT', a[2])) do out[#out + 1] = e end
  return out
end

-- KEYS m  ARGV first id that stays  -> entries forgotten
local function drained(k, a) return redis.call('XTRIM', shard(k) .. 'O', 'MINID', a[1]) end

-- KEYS m  ARGV member: lets another one drain
local function undrain(k, a)
  local p = shard(k)
  local held = redis.call('HGET', p .. 'm', 'dr')
  if held and string.match(held, '^(.*)|%d+$') == a[1] then redis.call('HDEL', p .. 'm', 'dr') end
  return 1
end
