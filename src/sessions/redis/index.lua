-- Where records are found: a place is 12 characters of a digest of what they are found by. One record at a place lies in a bucket of many places, which
-- is small; more of them in a set of their own. Records that expired leave their places behind until somebody looks or `prune` comes by.
-- A session stands there by its name alone, any other record by its reference behind a mark; no text of a name holds control characters.
local MANY, OTHER = '\1', '\2'
local function member_of(ref) return kind_of(ref) == 'session' and string.sub(ref, 9) or OTHER .. ref end
local function ref_of(member) return string.sub(member, 1, 1) == OTHER and string.sub(member, 2) or 'session/' .. member end

local function bucket(p, h) return p .. 'x:' .. string.sub(h, 1, 2) .. int(string.byte(h, 3) % 4), string.sub(h, 3) end

local function index_add(p, h, member)
  local key, field = bucket(p, h)
  local there = redis.call('HGET', key, field)
  if there == member then return end
  if not there then redis.call('HSET', key, field, member)
  elseif there == MANY then redis.call('SADD', p .. 'y:' .. h, member)
  else
    redis.call('SADD', p .. 'y:' .. h, there, member)
    redis.call('HSET', key, field, MANY)
  end
end

local function index_remove(p, h, member)
  local key, field = bucket(p, h)
  local there = redis.call('HGET', key, field)
  if there == member then redis.call('HDEL', key, field)
  elseif there == MANY then
    redis.call('SREM', p .. 'y:' .. h, member)
    if redis.call('EXISTS', p .. 'y:' .. h) == 0 then redis.call('HDEL', key, field) end
  end
end

local function each_place(hs, visit) for i = 1, #hs, 12 do visit(string.sub(hs, i, i + 11)) end end

local function index_replace(p, before, after, ref)
  if before == after then return end
  local stays, member = {}, member_of(ref)
  each_place(after, function(h) stays[h] = true end)
  each_place(before, function(h) if not stays[h] then index_remove(p, h, member) end end)
  each_place(after, function(h) index_add(p, h, member) end)
end

-- Is it there still? What is not loses this place.
local function standing(p, h, member)
  if redis.call('EXISTS', p .. 'r:' .. ref_of(member)) == 1 then return true end
  index_remove(p, h, member)
  return false
end

-- KEYS m  ARGV place limit  -> stamp, refs
local function find(k, a)
  local p, h, limit = shard(k), a[1], tonumber(a[2]) + 1
  local out = { stamp(p) }
  local key, field = bucket(p, h)
  local there = redis.call('HGET', key, field)
  if there and there ~= MANY then
    if standing(p, h, there) then out[2] = ref_of(there) end
  elseif there then
    local cursor = '0'
    repeat
      local page = redis.call('SSCAN', p .. 'y:' .. h, cursor, 'COUNT', 500)
      cursor = page[1]
      for _, member in ipairs(page[2]) do
        if #out >= limit then break end
        if standing(p, h, member) then out[#out + 1] = ref_of(member) end
      end
    until cursor == '0' or #out >= limit
  end
  return out
end

-- KEYS m  ARGV buckets  -> places given up. A piece of the index after the other, again and again: what expired leaves it.
local function prune(k, a)
  local p, gone = shard(k), 0
  local at = tonumber(redis.call('HGET', p .. 'm', 'gc') or '0')
  local letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  for _ = 1, tonumber(a[1]) do
    local x, y, z = math.floor(at / 256) % 64, math.floor(at / 4) % 64, at % 4
    local head = string.sub(letters, x + 1, x + 1) .. string.sub(letters, y + 1, y + 1)
    local all = redis.call('HGETALL', p .. 'x:' .. head .. int(z))
    for i = 1, #all, 2 do
      local h = head .. all[i]
      if all[i + 1] ~= MANY then
        if not standing(p, h, all[i + 1]) then gone = gone + 1 end
      else
        for _, member in ipairs(redis.call('SRANDMEMBER', p .. 'y:' .. h, 20)) do if not standing(p, h, member) then gone = gone + 1 end end
      end
    end
    at = (at + 1) % 16384
  end
  for _, kind in ipairs({ 'lock', 'ticket', 'run', 'step', 'conversation', 'turn', 'task', 'event', 'stream' }) do
    for _, ref in ipairs(redis.call('SRANDMEMBER', p .. 'n:' .. kind, kind == 'event' and 500 or 50)) do
      if redis.call('EXISTS', p .. 'r:' .. ref) == 0 then redis.call('SREM', p .. 'n:' .. kind, ref) end
    end
  end
  redis.call('HSET', p .. 'm', 'gc', int(at))
  return gone
end
