-- What waits under a name until somebody has it. `w:` has the ids in their order, `v:` `<forgetAt>|<text>` by id, `d:` the ids that wait no more, by the
-- instant at which they may be forgotten. Nothing is decided here.
local ID_KEPT, GIVEN_UP_AT_ONCE, QUEUE_ANSWER_MAX = 86400000, 1000, 1048576

local function queue_done(p, name, id, now)
  if redis.call('ZREM', p .. 'w:' .. name, id) == 0 then return end
  redis.call('HDEL', p .. 'v:' .. name, id)
  redis.call('ZADD', p .. 'd:' .. name, int(now + ID_KEPT), id)
  redis.call('PEXPIRE', p .. 'd:' .. name, ID_KEPT)
end

local function queue_item(p, name, id) return string.match(redis.call('HGET', p .. 'v:' .. name, id) or '0|', '^(%d+)|(.*)$') end

-- The oldest that are past their time, and ids that may be forgotten.
local function queue_give_up(p, name, now)
  redis.call('ZREMRANGEBYSCORE', p .. 'd:' .. name, '-inf', int(now))
  for _ = 1, GIVEN_UP_AT_ONCE do
    local id = redis.call('ZRANGE', p .. 'w:' .. name, 0, 0)[1]
    if not id or tonumber((queue_item(p, name, id))) > now then return end
    queue_done(p, name, id, now)
  end
end

-- Likewise wherever they stand among the first: lives differ, and what is over takes no room.
local function queue_make_room(p, name, now)
  for _, id in ipairs(redis.call('ZRANGE', p .. 'w:' .. name, 0, GIVEN_UP_AT_ONCE - 1)) do
    if tonumber((queue_item(p, name, id))) <= now then queue_done(p, name, id, now) end
  end
end

-- KEYS m  ARGV nonce shards name id forgetAt limit text  -> queued | again | full
local function enqueue(k, a)
  local p = shard(k)
  local m, fault = opened(p, a[1], a[2])
  if not m then return fault end
  local order, texts, name = p .. 'w:' .. a[3], p .. 'v:' .. a[3], a[3]
  queue_give_up(p, name, m.now)
  if redis.call('ZSCORE', order, a[4]) or redis.call('ZSCORE', p .. 'd:' .. name, a[4]) then return 'again' end
  if redis.call('ZCARD', order) >= tonumber(a[6]) then queue_make_room(p, name, m.now) end
  if redis.call('ZCARD', order) >= tonumber(a[6]) then return 'full' end
  local last = redis.call('ZRANGE', order, -1, -1, 'WITHSCORES')[2] or '0'
  redis.call('ZADD', order, int(tonumber(last) + 1), a[4])
  redis.call('HSET', texts, a[4], a[5] .. '|' .. a[7])
  for _, key in ipairs({ order, texts }) do
    if tonumber(a[5]) > redis.call('PEXPIRETIME', key) then redis.call('PEXPIREAT', key, a[5]) end
  end
  return 'queued'
end

-- KEYS m  ARGV name limit skip  -> length, id, forgetAt, text ...
local function waiting(k, a)
  local p, out, size = shard(k), { 0 }, 0
  local now = meta(p).now
  queue_give_up(p, a[1], now)
  for _, id in ipairs(redis.call('ZRANGE', p .. 'w:' .. a[1], a[3], int(a[3] + a[2] - 1))) do
    local ends, text = queue_item(p, a[1], id)
    if tonumber(ends) > now then
      size = size + #text
      if #out > 1 and size > QUEUE_ANSWER_MAX then break end
      out[#out + 1], out[#out + 2], out[#out + 3] = id, ends, text
    end
  end
  out[1] = redis.call('ZCARD', p .. 'w:' .. a[1])
  return out
end

-- KEYS m  ARGV name id ...
local function dequeue(k, a)
  local p = shard(k)
  local now = meta(p).now
  for i = 2, #a do queue_done(p, a[1], a[i], now) end
  return #a - 1
end
