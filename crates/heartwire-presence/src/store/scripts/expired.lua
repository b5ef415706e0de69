-- ARGV: how long a lease lasts (ms).

-- A lease that ends later than any that could be taken now was taken before the clock stepped back.
local latest = int(ms + ARGV[1])
for _, node in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nodes', '(' .. latest, '+inf')) do
  redis.call('ZADD', P .. 'nodes', latest, node)
end

local answer = { 'expired' }
for _, node in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nodes', '-inf', int(ms))) do
  answer[#answer + 1] = node
end
for _, node in ipairs(redis.call('ZRANGE', P .. 'reaping', 0, -1)) do
  answer[#answer + 1] = node
end
return answer
