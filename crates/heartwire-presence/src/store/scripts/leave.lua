-- ARGV: node.
local node = ARGV[1]

if redis.call('ZREM', P .. 'nodes', node) == 1 then
  if redis.call('EXISTS', names_of(node)) == 1 then
    redis.call('ZADD', P .. 'reaping', 0, node)
  else
    forget(node)
  end
end
return { 'told' }
