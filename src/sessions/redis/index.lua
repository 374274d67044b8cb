-- Where records are found: a place is 16 characters of a digest of what they are found by. One record at a place lies in a bucket of many places, which
-- is small; more of them in a set of their own. Records that expired leave their places behind until somebody looks or `prune` comes by.
local function bucket(p, h) return p .. 'x:' .. string.sub(h, 1, 2) .. int(string.byte(h, 3) % 4), string.sub(h, 3) end

local function index_add(p, h, ref)
  local key, field = bucket(p, h)
  local there = redis.call('HGET', key, field)
  if there == ref then return end
  if not there then redis.call('HSET', key, field, ref)
  elseif there == '*' then redis.call('SADD', p .. 'y:' .. h, ref)
  else
    redis.call('SADD', p .. 'y:' .. h, there, ref)
    redis.call('HSET', key, field, '*')
  end
end

local function index_remove(p, h, ref)
  local key, field = bucket(p, h)
  local there = redis.call('HGET', key, field)
  if there == ref then redis.call('HDEL', key, field)
  elseif there == '*' then
    redis.call('SREM', p .. 'y:' .. h, ref)
    if redis.call('EXISTS', p .. 'y:' .. h) == 0 then redis.call('HDEL', key, field) end
  end
end

local function each_place(hs, visit) for i = 1, #hs, 16 do visit(string.sub(hs, i, i + 15)) end end

local function index_replace(p, before, after, ref)
  if before == after then return end
  local stays = {}
  each_place(after, function(h) stays[h] = true end)
  each_place(before, function(h) if not stays[h] then index_remove(p, h, ref) end end)
  each_place(after, function(h) index_add(p, h, ref) end)
end

-- Is it there still? What is not loses this place.
local function standing(p, h, ref)
  if redis.call('EXISTS', p .. 'r:' .. ref) == 1 then return true end
  index_remove(p, h, ref)
  return false
end

-- KEYS m  ARGV place limit  -> refs
local function find(k, a)
  local p, h, limit, out = shard(k), a[1], tonumber(a[2]), {}
  local key, field = bucket(p, h)
  local there = redis.call('HGET', key, field)
  if there and there ~= '*' then
    if standing(p, h, there) then out[1] = there end
  elseif there then
    local cursor = '0'
    repeat
      local page = redis.call('SSCAN', p .. 'y:' .. h, cursor, 'COUNT', 500)
      cursor = page[1]
      for _, ref in ipairs(page[2]) do
        if #out >= limit then break end
        if standing(p, h, ref) then out[#out + 1] = ref end
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
      if all[i + 1] ~= '*' then
        if not standing(p, h, all[i + 1]) then gone = gone + 1 end
      else
        for _, ref in ipairs(redis.call('SRANDMEMBER', p .. 'y:' .. h, 20)) do if not standing(p, h, ref) then gone = gone + 1 end end
      end
    end
    at = (at + 1) % 16384
  end
  redis.call('HSET', p .. 'm', 'gc', int(at))
  return gone
end
