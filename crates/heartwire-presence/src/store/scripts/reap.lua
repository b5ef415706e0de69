-- ARGV: node, how many names at most.
local node, most = ARGV[1], ARGV[2]

local lease_end = redis.call('ZSCORE', P .. 'nodes', node)
if lease_end and tonumber(lease_end) > ms then
  return { 'alive' }
end
local portion_at = lease_end and 0 or tonumber(redis.call('ZSCORE', P .. 'reaping', node) or nil)
if not portion_at then
  return { 'reaped', 0, 0, 0 }
end
local left = redis.call('SCARD', names_of(node))
-- All nodes together keep the pace. A portion in the future was before the clock stepped back.
local since = ms - portion_at
if since >= 0 and since < REAP_PAUSE then
  return { 'reaped', 0, left, REAP_PAUSE - since }
end
local names = redis.call('SRANDMEMBER', names_of(node), most)
local records, fault = read(names)
if fault then
  return redis.error_reply(fault)
end

redis.call('ZREM', P .. 'nodes', node)
redis.call('ZADD', P .. 'reaping', int(ms), node)
local gone = {}
for _, name in ipairs(names) do
  local record = records[name]
  if record and record.node == node then
    gone[#gone + 1] = name
    tell('offline', describe(name, record, ',"reason":"node_lost"'))
  end
end
if #gone > 0 then
  redis.call('HDEL', P .. 'p', unpack(gone))
end
if #names > 0 then
  redis.call('SREM', names_of(node), unpack(names))
end
keep_last()
left = left - #names
if left > 0 then
  return { 'reaped', #gone, left, REAP_PAUSE }
end
forget(node)
return { 'reaped', #gone, 0, 0 }
