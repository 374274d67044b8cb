-- What each member says of something that all of them add to. A member only ever replaces its own part, so that saying it again counts nothing twice.
-- Whoever asks merges them; nothing is decided here, and what is lost is said again. A part is `<forgetAt>|<text>` under its member.
local PARTS_OF_NAME, ANSWER_MAX = 64, 1048576

local function ends_last(one, other) return one.ends > other.ends end

-- The parts under a key without those that ran out, and without `but`; what is no part goes too.
local function standing_parts(key, but, now)
  local all, stay = redis.call('HGETALL', key), {}
  for i = 1, #all, 2 do
    local ends, text = string.match(all[i + 1], '^(%d+)|(.*)$')
    if not ends or tonumber(ends) <= now then redis.call('HDEL', key, all[i])
    elseif all[i] ~= but then stay[#stay + 1] = { member = all[i], ends = tonumber(ends), text = text } end
  end
  return stay
end

local function say(key, member, forget, text, now)
  local stay = standing_parts(key, member, now)
  if tonumber(forget) <= now then
    redis.call('HDEL', key, member)
    return stay
  end
  table.sort(stay, ends_last)
  while #stay >= PARTS_OF_NAME do redis.call('HDEL', key, table.remove(stay).member) end
  redis.call('HSET', key, member, forget .. '|' .. text)
  local own = { member = member, ends = tonumber(forget), text = text }
  stay[#stay + 1] = own
  redis.call('PEXPIREAT', key, int(math.max(own.ends, stay[1].ends)))
  return stay
end

-- KEYS m  ARGV member, name forgetAt text ...  -> texts of each name, in their order, of one name at least and of no more once the answer is long: the
-- caller asks again for the rest, so that no call keeps others waiting. An empty text only asks.
local function pool(k, a)
  local p, out, size = shard(k), {}, 0
  local now = meta(p).now
  for i = 2, #a, 3 do
    if size >= ANSWER_MAX then break end
    local key, texts = p .. 'a:' .. a[i], {}
    local stay = a[i + 2] == '' and standing_parts(key, '', now) or say(key, a[1], a[i + 1], a[i + 2], now)
    for j, part in ipairs(stay) do
      texts[j] = part.text
      size = size + #part.text
    end
    out[#out + 1] = texts
  end
  return out
end
