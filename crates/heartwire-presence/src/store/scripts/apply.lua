-- ARGV: node, number of the call, then six for each op:
--   'on', name, epoch, session, instance or '-', peer
--   'off', name, epoch, reason, whether there is an incident, incident
local node, call = ARGV[1], tonumber(ARGV[2])

if not redis.call('ZSCORE', P .. 'nodes', node) then
  return { 'fenced' }
end
if call < (tonumber(redis.call('HGET', about(node), 'applied') or 0) or 0) then
  return { 'stale' }
end
local names = {}
for i = 3, #ARGV, 6 do
  names[#names + 1] = ARGV[i + 1]
end
local stored, fault = read(names)
if fault then
  return redis.error_reply(fault)
end

-- The records as the ops leave them. A record is replaced, never altered: so one that is the same
-- table as that in `stored` has not changed.
local records = {}
for name, record in pairs(stored) do
  records[name] = record
end

-- Who has a newer session of a name? See `Model::online` for the rules.
local function online(name, proposed, session, instance, peer)
  local new = {
    epoch = math.min(proposed, now),
    node = node,
    session = session,
    since = int(now),
    instance = instance,
    peer = peer,
  }
  local old = records[name]
  if not old then
    records[name] = new
    tell('online', describe(name, new, ''))
    return { 'on', int(new.epoch) }
  end
  new.since = old.since
  local is_own, is_same_session = old.node == node, old.session == session
  local same_client = instance ~= '-' and instance == old.instance and 1 or 0
  if is_own and is_same_session then
    new.epoch = old.epoch
    if instance == old.instance and peer == old.peer then
      new = old
    end
  elseif new.epoch <= old.epoch then
    local is_again = is_same_session
      and proposed == old.epoch
      and name_in(old.node) == name_in(node)
    if is_own or old.epoch >= now then
      new.epoch = old.epoch + 1
    elseif not is_again then
      return { 'older', int(old.epoch), same_client }
    end
  end
  records[name] = new
  if not is_own then
    if redis.call('ZSCORE', P .. 'nodes', old.node) then
      local epoch = int(new.epoch)
      command(old.node, 'command', 'taken_over', 'name', name, 'epoch', epoch, 'same', same_client)
    end
    tell('moved', describe(name, new, ',"from":' .. cjson.encode(old.node)))
  end
  return { 'on', int(new.epoch) }
end

local function offline(name, epoch, reason, has_incident, incident)
  local old = records[name]
  if old and old.node == node and old.epoch <= epoch then
    records[name] = nil
    local rest = ',"reason":' .. cjson.encode(reason)
    if has_incident == '1' then
      rest = rest .. ',"incident":' .. cjson.encode(incident)
    end
    tell('offline', describe(name, old, rest))
  end
  return { 'off' }
end

local outcomes = { 'applied' }
for i = 3, #ARGV, 6 do
  local kind, name, epoch = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local apply = kind == 'on' and online or offline
  outcomes[#outcomes + 1] = apply(name, epoch, ARGV[i + 3], ARGV[i + 4], ARGV[i + 5])
end

-- Writes what has changed, for each name once: records, sets of names, digests.
local put, gone, added, removed, digests = {}, {}, {}, {}, {}

local function digest(of, name, epoch, sign)
  local sha1 = redis.sha1hex(name .. '\0' .. int(epoch))
  digests[of] = (digests[of] or 0) + sign * tonumber(string.sub(sha1, 1, 10), 16)
end

for _, name in ipairs(names) do
  local old, new = stored[name], records[name]
  if old ~= new then
    if new then
      put[#put + 1] = name
      put[#put + 1] = pack(new)
      digest(node, name, new.epoch, 1)
    else
      gone[#gone + 1] = name
    end
    if old then
      digest(old.node, name, old.epoch, -1)
    end
    if old and not (new and new.node == old.node) then
      removed[old.node] = removed[old.node] or {}
      table.insert(removed[old.node], name)
    end
    if new and not (old and old.node == node) then
      added[#added + 1] = name
    end
    stored[name] = new
  end
end
if #put > 0 then
  redis.call('HSET', P .. 'p', unpack(put))
end
if #gone > 0 then
  redis.call('HDEL', P .. 'p', unpack(gone))
end
if #added > 0 then
  redis.call('SADD', names_of(node), unpack(added))
end
for other, list in pairs(removed) do
  redis.call('SREM', names_of(other), unpack(list))
end
for other, change in pairs(digests) do
  local hash = tonumber(redis.call('HGET', about(other), 'hash') or 0) or 0
  redis.call('HSET', about(other), 'hash', int((hash + change) % 2 ^ 40))
end
redis.call('HSET', about(node), 'applied', int(call))
keep_last()
return outcomes
