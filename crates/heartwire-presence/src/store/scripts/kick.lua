-- ARGV: name.
local name = ARGV[1]

local records, fault = read({ name })
if fault then
  return redis.error_reply(fault)
end
local record = records[name]
if not (record and redis.call('ZSCORE', P .. 'nodes', record.node)) then
  return { 'kicked' }
end
command(record.node, 'command', 'kick', 'name', name, 'epoch', int(record.epoch))
return { 'kicked', record.node }
