-- Put in front of each script. Redis 6.2 and later; all keys are in one slot.
--
-- A script first reads all that it needs, and says if it cannot read that; then it writes. What it
-- writes is the same when it is called again.
local time = redis.call('TIME')

local P = '{hw}:'
local REAP_PAUSE = 250 -- ms
local EVENTS_MAX, COMMANDS_MAX = '1000000', '100000'

-- Numbers in Lua are doubles: exact to 2^53, which microseconds since 1970 reach in 2255. But
-- `tostring` rounds them to 14 digits.
local function int(number)
  return string.format('%.0f', number)
end

local now = time[1] * 1000000 + time[2]
local ms = math.floor(now / 1000)

local function about(node)
  return P .. 'node:' .. node
end

local function names_of(node)
  return P .. 'n:' .. node
end

local function commands_of(node)
  return P .. 'cmd:' .. node
end

-- The name in a node's id: all before its last dot.
local function name_in(node)
  return string.match(node, '^(.*)%.') or node
end

-- The record of each name that is online, or what is wrong with them. A name is never part of the
-- packed text: it may have spaces.
local function read(names)
  local records = {}
  if #names == 0 then
    return records
  end
  local packed = redis.call('HMGET', P .. 'p', unpack(names))
  for i, name in ipairs(names) do
    local text = packed[i]
    if text then
      local epoch, node, session, since, instance, peer =
        string.match(text, '^(%d+) (%S+) (%S+) (%d+) (%S+) (%S+)$')
      if not epoch then
        return nil, table.concat({
          'GARBAGE ', P, 'p holds no record for the name ', cjson.encode(name),
          ', and no call with that name is done until it is removed: HDEL ', P, 'p NAME',
        })
      end
      records[name] = {
        epoch = tonumber(epoch),
        node = node,
        session = session,
        since = since,
        instance = instance,
        peer = peer,
      }
    end
  end
  return records
end

local function pack(r)
  return table.concat({ int(r.epoch), r.node, r.session, r.since, r.instance, r.peer }, ' ')
end

-- A record as JSON; `cjson` would round the numbers.
local function describe(name, r, rest)
  local quote = cjson.encode
  local instance = r.instance == '-' and '' or ',"instance":' .. r.instance
  return table.concat({
    '{"name":', quote(name), ',"epoch":', int(r.epoch), ',"node":', quote(r.node),
    ',"session":', quote(r.session), ',"since":', r.since, ',"peer":', quote(r.peer),
    instance, rest, '}',
  })
end

-- Tells readers and hooks. The numbers of what is told rise also when the clock does not.
local last = nil
local function tell(kind, detail)
  last = last or tonumber(redis.call('GET', P .. 'last') or 0) or 0
  last = math.max(now, last + 1)
  redis.call(
    'XADD', P .. 'ev', 'MAXLEN', '~', EVENTS_MAX, '*', 'k', kind, 'n', int(last), 'd', detail
  )
end

-- To be called at the end of a script that tells.
local function keep_last()
  if last then
    redis.call('SET', P .. 'last', int(last))
  end
end

-- Commands to a node that is being reaped would only stay.
local function command(node, ...)
  redis.call('XADD', commands_of(node), 'MAXLEN', '~', COMMANDS_MAX, '*', ...)
end

local function forget(node)
  redis.call('ZREM', P .. 'reaping', node)
  redis.call('DEL', about(node), names_of(node), commands_of(node))
end

-- Takes a lease for so many milliseconds. Answers with the clock and the generation, which is made
-- where it is missing.
local function lease(node, lasts)
  redis.call('ZADD', P .. 'nodes', int(ms + lasts), node)
  local generation = redis.call('GET', P .. 'gen')
  if not generation then
    generation = int(now)
    redis.call('SET', P .. 'gen', generation)
  end
  return { 'leased', int(now), generation }
end
