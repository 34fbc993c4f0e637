-- Appends events of a run to its stream, whole or not at all (docs/CONTROL_PLANE_CONTRACT.md, "What a run
-- tells"). KEYS: the stream, and where it stands. ARGV: fence, id of the first event, milliseconds that all is
-- kept, most bytes, time in milliseconds, pace and how far ahead of it, ids of a fence, channel, an id that was
-- told before as the database knows, milliseconds that the stand is kept, events.
local FIRST = 12
local stand = redis.call('HMGET', KEYS[2], 'fence', 'last', 'bytes', 'paced', 'erased')
if stand[5] then return {'erased', '0'} end
local fence, first, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[5])
local known_fence, last = tonumber(stand[1] or '0'), tonumber(stand[2] or '0')
local bytes, paced = tonumber(stand[3] or '0'), tonumber(stand[4] or '0')
local function whole(number) return string.format('%.0f', number) end
if fence < known_fence then return {'stale_fence', '0'} end
-- A clock that was put back must not keep a run waiting.
if paced > now + 1000 then paced = now end
paced = math.max(paced, now)
if paced > now + tonumber(ARGV[7]) then return {'too_many_deltas', '0'} end
-- What was told is gone: it has expired, or the Redis was emptied.
local lost = redis.call('EXISTS', KEYS[1]) == 0 and (last > 0 or tonumber(ARGV[10]) > 0)
if lost then bytes = 0 end
local new = {}
for i = FIRST, #ARGV do
  local id = first + i - FIRST
  if id <= last then
    local known = redis.call('XRANGE', KEYS[1], whole(id) .. '-0', whole(id) .. '-0')
    if #known == 0 or known[1][2][2] ~= ARGV[i] then return {'seq_conflict', whole(last)} end
  else
    bytes = bytes + #ARGV[i] + 1
    new[#new + 1] = {id, ARGV[i]}
  end
end
if #new > 0 and bytes > tonumber(ARGV[4]) then return {'deltas_full', whole(last)} end
-- The first events of a lease have its first id: others were here, or should have been.
if not stand[2] and first ~= fence * tonumber(ARGV[8]) + 1 then lost = true end
if lost then redis.call('HSET', KEYS[2], 'lost', '1') end
for _, event in ipairs(new) do
  redis.call('XADD', KEYS[1], whole(event[1]) .. '-0', 'e', event[2])
  last = event[1]
end
redis.call('HSET', KEYS[2], 'fence', whole(fence), 'last', whole(last), 'bytes', whole(bytes),
  'paced', whole(paced + tonumber(ARGV[6])), 'at', whole(now))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[11])
if #new > 0 then redis.call('PUBLISH', ARGV[9], KEYS[1]) end
return {'stored', whole(last)}
