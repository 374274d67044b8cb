-- Counters that are exact across gateways. Every call names its request, so that one sent twice counts once; a request is known for so long, the count
-- for as long as its caller says.
local TAKING_KEPT = 3600000

-- KEYS m  ARGV counter request amount limit forgetAt stamp again  -> how much of it was given; asked again, what the request still holds. -1 where the
-- caller knows another epoch, and before everybody has come to this one: what they took from the server before may be missing here until they say it `again`.
local function take(k, a)
  local p = shard(k)
  if stamp(p) ~= a[6] or (a[7] == '' and meta(p).set ~= '1') then return -1 end
  local key, mine = p .. 'c:' .. a[1], p .. 't:' .. a[1] .. '/' .. a[2]
  local before = redis.call('HMGET', mine, 'q', 'g')
  if before[1] then return tonumber(before[1]) - tonumber(before[2] or '0') end
  local now, forget = meta(p).now, tonumber(a[5])
  if forget <= now then return 0 end
  local used = tonumber(redis.call('HGET', key, 'u') or '0')
  local got = math.min(tonumber(a[3]), tonumber(a[4]) - used)
  if got <= 0 then return 0 end -- not remembered: else whoever is refused would fill the memory
  redis.call('HSET', key, 'u', int(used + got))
  if forget > redis.call('PEXPIRETIME', key) then redis.call('PEXPIREAT', key, a[5]) end
  redis.call('HSET', mine, 'q', int(got))
  redis.call('PEXPIREAT', mine, int(math.min(forget, now + TAKING_KEPT)))
  return got
end

-- KEYS m  ARGV counter request amount  -> what was given back; once per request
local function give(k, a)
  local p = shard(k)
  local key, mine = p .. 'c:' .. a[1], p .. 't:' .. a[1] .. '/' .. a[2]
  local got = tonumber(redis.call('HGET', mine, 'q') or '0')
  local back = math.max(0, math.min(tonumber(a[3]), got))
  if got == 0 or redis.call('EXISTS', key) == 0 or redis.call('HSETNX', mine, 'g', int(back)) == 0 then return 0 end
  redis.call('HINCRBY', key, 'u', int(-back))
  return back
end

-- KEYS m  ARGV counter  -> how much of it is taken
local function taken(k, a) return tonumber(redis.call('HGET', shard(k) .. 'c:' .. a[1], 'u') or '0') end

-- KEYS m  ARGV nonce shards member bucket wanted limit milliseconds  -> this member's share. After a new epoch shares of the old one run out first.
local function share(k, a)
  local p = shard(k)
  local m, fault = opened(p, a[1], a[2])
  if not m then return fault end
  local wait = tonumber(a[7])
  if m.base ~= '0-0' and m.now < tonumber(m.es) + wait then return 0 end
  local key, sum = p .. 'q:' .. a[4], 0
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local size, ends = string.match(all[i + 1], '^(%d+):(%d+)$')
    if tonumber(ends) <= m.now then redis.call('HDEL', key, all[i])
    elseif all[i] ~= a[3] then sum = sum + tonumber(size) end
  end
  local got = math.max(0, math.min(tonumber(a[5]), tonumber(a[6]) - sum))
  redis.call('HSET', key, a[3], int(got) .. ':' .. int(m.now + wait))
  redis.call('PEXPIRE', key, 60000 + wait)
  return got
end

-- KEYS m  ARGV nonce shards digest issuedAt forgetAt  -> 1 first, 0 again. What was issued before an epoch that may have lost marks counts as seen.
local function mark(k, a)
  local p = shard(k)
  local m, fault = opened(p, a[1], a[2])
  if not m then return fault end
  if tonumber(a[5]) <= m.now or tonumber(a[4]) < tonumber(m.base == '0-0' and m.born or m.es) then return 0 end
  local minute = math.floor(tonumber(a[5]) / 60000)
  local key = p .. 'j:' .. int(minute)
  local new = redis.call('SADD', key, a[3])
  if new == 1 then redis.call('PEXPIREAT', key, int((minute + 2) * 60000)) end
  return new
end
