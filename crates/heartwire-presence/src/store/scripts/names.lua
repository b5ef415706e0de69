-- ARGV: node, cursor.
local found = redis.call('SSCAN', names_of(ARGV[1]), ARGV[2], 'COUNT', 500)
local names = found[2]
local answer = { 'names', found[1] }
-- A small set comes whole, whatever the count.
local records, fault = read(names)
if fault then
  return redis.error_reply(fault)
end
for _, name in ipairs(names) do
  if records[name] then
    answer[#answer + 1] = name
    answer[#answer + 1] = int(records[name].epoch)
  end
end
return answer
