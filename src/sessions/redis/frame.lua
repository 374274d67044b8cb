-- What every function stands on: key names, the guarded time, the epoch, the log. The library's parts are one text (library.ts); this is the first.
-- KEYS[1] is always the shard's meta key `<prefix>:{<shard>}:m`; every other key of the shard begins like it and lies in the same slot.
-- Values are parts joined by 0x1f, which JSON text never holds. The library knows versions, epochs, the chain and idempotency, never what a freeze is.
local S = '\31'
local FORMAT = '1'
local LOG_MAX, OUT_MAX, REMEMBERED, KEPT_MAX = 50000, 1000000, 900000, 10000

-- run_id of this server process: a constant of the process, so an upvalue may hold it
local RUN = nil
local function run_id()
  if RUN == nil then RUN = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') end
  return RUN
end

local function int(x) return string.format('%.0f', x) end
local function shard(keys) return string.sub(keys[1], 1, -2) end

local function clock_ms()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end

-- The shard as it is, with `now` in milliseconds: never before any instant a heartbeat was told. `off`: what this master's clock lacks to that of the
-- one before; time goes on from where it was, so that nothing lives longer for it.
local function meta(p)
  local v = redis.call('HMGET', p .. 'm', 'run', 'cid', 'epoch', 'es', 'head', 'headn', 'base', 'basen', 'set', 'tm', 'fmt', 'born', 'P', 'off', 'was', 'wit')
  local m = { run = v[1], cid = v[2], epoch = v[3], es = v[4], head = v[5], headn = v[6], base = v[7], basen = v[8], set = v[9], fmt = v[11], born = v[12], P = v[13], tm = tonumber(v[10] or '0'), was = v[15], wit = v[16] }
  m.now = math.max(clock_ms() + tonumber(v[14] or '0'), m.tm)
  return m
end

-- The epoch a reader may go by. A replica, or a master that nobody has written to since it was promoted or started, has none: the number in its data is
-- that of the master before, which may still take writes and acknowledge them.
local function begun(run, epoch) return run == run_id() and epoch or '' end

-- What a reader compares with its own epoch before it believes a word.
local function stamp(p)
  local v = redis.call('HMGET', p .. 'm', 'cid', 'epoch', 'run')
  return (v[1] or '') .. '.' .. begun(v[3], v[2])
end

-- Appends `e` {nonce, flags, ref, v, mac, body, facts, news} to the log and publishes the same bytes. Its id is <epoch>-<sequence>.
local function append(p, m, e)
  local id = m.epoch .. '-' .. int(redis.call('HINCRBY', p .. 'm', 'seq', 1))
  local text = table.concat({ id, e.nonce, m.headn or '-', int(m.now), e.flags, e.ref, e.v, e.mac, e.body, e.facts, e.news }, S)
  redis.call('XADD', p .. 'L', 'MAXLEN', '~', LOG_MAX, id, 'e', text)
  redis.call('HSET', p .. 'm', 'head', id, 'headn', e.nonce)
  redis.call('SPUBLISH', p .. 'ev', text)
  m.head, m.headn = id, e.nonce
  return id
end

-- Every write begins here: the first one on a new server process opens a new epoch. `shards` is what the caller believes.
local function opened(p, nonce, shards)
  local m = meta(p)
  if m.cid and m.fmt ~= FORMAT then return nil, redis.error_reply('NGFORMAT ' .. tostring(m.fmt)) end
  if not m.cid and redis.call('EXISTS', p .. 'm') == 1 then return nil, redis.error_reply('NGFOREIGN') end
  if m.P and m.P ~= shards then return nil, redis.error_reply('NGSHARDS ' .. m.P) end
  if m.run == run_id() then return m end
  local clock = clock_ms()
  m.off, m.now = math.max(0, m.tm - clock), math.max(clock, m.tm)
  -- of two masters promoted from one history the later one has the greater, and never the same
  local epoch = int(math.max(tonumber(m.epoch or '0') + 1, m.now) + (tonumber(string.sub(nonce, 1, 3), 16) or 0))
  if not m.cid then
    m.cid, m.born = nonce, int(m.now)
    redis.call('HSET', p .. 'm', 'cid', m.cid, 'seq', 0, 'fmt', FORMAT, 'born', m.born, 'P', shards)
  end
  m.run, m.epoch, m.es, m.set, m.base, m.basen, m.was = run_id(), epoch, int(m.now), '0', m.head or '0-0', m.headn or '-', int(m.tm)
  redis.call('HSET', p .. 'm', 'run', m.run, 'epoch', epoch, 'es', m.es, 'set', 0, 'base', m.base, 'basen', m.basen, 'was', m.was, 'off', int(m.off))
  append(p, m, { nonce = nonce .. 'e', flags = '', ref = '', v = '0', mac = '', body = '', facts = '[]', news = '' })
  return m
end

-- A stored record: last seen (13 digits), version, its places in the index (12 characters each), MAC, body.
local NEVER = '0000000000000'
local function parts(text) return string.match(text, '^(%d+)\31(%d+)\31([^\31]*)\31([^\31]*)\31(.*)$') end
local function kind_of(ref) return string.match(ref, '^([^/]*)/') end
