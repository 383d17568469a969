-- Notes a use of a client, unless a later one was noted.
-- KEYS: client, never_used, used. ARGV: id, now.
-- Result: 1, or 0 if it is gone.
local found = redis.call('HMGET', KEYS[1], 'id', 'provenance', 'last_used_at')
if not found[1] then
    return 0
end
if found[3] and tonumber(found[3]) >= tonumber(ARGV[2]) then
    return 1
end
redis.call('HSET', KEYS[1], 'last_used_at', ARGV[2])
if found[2] == 'dynamic' then
    redis.call('ZREM', KEYS[2], ARGV[1])
    redis.call('ZADD', KEYS[3], ARGV[2], ARGV[1])
end
return 1
