-- ARGV: node, how long its lease lasts (ms), address.
local node, lasts, address = ARGV[1], ARGV[2], ARGV[3]

if redis.call('ZSCORE', P .. 'reaping', node) then
  return { 'fenced' }
end
local namesake = nil
for _, other in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nodes', '(' .. int(ms), '+inf')) do
  if other ~= node and name_in(other) == name_in(node) then
    namesake = other
    break
  end
end
redis.call('HSETNX', about(node), 'since', int(now))
redis.call('HSET', about(node), 'name', name_in(node), 'address', address)
local answer = lease(node, lasts)
answer[4] = namesake
return answer
