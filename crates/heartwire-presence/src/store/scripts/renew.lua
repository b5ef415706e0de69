-- ARGV: node.
if not redis.call('ZSCORE', P .. 'nodes', ARGV[1]) then
  return { 'fenced' }
end
return lease(ARGV[1])
