-- ARGV: node, how long its lease lasts (ms).
if not redis.call('ZSCORE', P .. 'nodes', ARGV[1]) then
  return { 'fenced' }
end
return lease(ARGV[1], ARGV[2])
