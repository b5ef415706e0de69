-- Renews the lease, and says up to which place all was delivered or given up. ARGV: holder, length
-- of the lease in ms, that place, then two for each change that was given up: JSON, error.
local K = '{hw}:hooks'
local holder, lease, at = ARGV[1], tonumber(ARGV[2]), ARGV[3]

if redis.call('HGET', K, 'holder') ~= holder then
  return { 'lost' }
end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 4, #ARGV, 2 do
  redis.call('XADD', '{hw}:dead', 'MAXLEN', '~', '100000', '*', 'd', ARGV[i], 'error', ARGV[i + 1])
end
redis.call('HSET', K, 'until', string.format('%.0f', ms + lease), 'at', at)
return { 'kept', string.format('%.0f', ms) }
