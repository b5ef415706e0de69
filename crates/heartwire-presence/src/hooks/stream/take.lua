-- Takes the lease, unless it is another dispatcher's. ARGV: holder, length of the lease in ms, the
-- place up to which this holder knows that all was delivered ('' if it does not).
local K, EV = '{hw}:hooks', '{hw}:ev'
local holder, lease, known = ARGV[1], tonumber(ARGV[2]), ARGV[3]

local function int(number)
  return string.format('%.0f', number)
end

-- Whether the id of an entry is after another's.
local function is_after(a, b)
  local a_ms, a_seq = string.match(a, '^(%d+)-(%d+)$')
  local b_ms, b_seq = string.match(b, '^(%d+)-(%d+)$')
  a_ms, b_ms = tonumber(a_ms), tonumber(b_ms)
  return a_ms > b_ms or a_ms == b_ms and tonumber(a_seq) > tonumber(b_seq)
end

local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('HMGET', K, 'holder', 'until', 'at')
local left = (tonumber(stored[2] or 0) or 0) - ms
-- A lease that ends later than it can was written before the clock was set back.
if stored[1] and stored[1] ~= holder and left > 0 and left <= lease then
  return { 'held' }
end

local last = '0-0'
if redis.call('EXISTS', EV) == 1 then
  local info = redis.call('XINFO', 'STREAM', EV)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      last = info[i + 1]
    end
  end
end
local at = stored[3]
if not at then
  -- Hooks are switched on for the first time, or Redis was emptied since.
  at = known ~= '' and known or last
end
if is_after(at, last) then
  -- This is another stream: all of it is new.
  at = '0-0'
end
redis.call('HSET', K, 'holder', holder, 'until', int(ms + lease), 'at', at)
return { 'taken', at, int(ms) }
