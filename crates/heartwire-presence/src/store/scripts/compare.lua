-- ARGV: node.
local node = ARGV[1]

if not redis.call('ZSCORE', P .. 'nodes', node) then
  return { 'fenced' }
end
return {
  'digest',
  redis.call('SCARD', names_of(node)),
  redis.call('HGET', about(node), 'hash') or '0',
}
