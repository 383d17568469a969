-- Replaces a client that nobody changed since it was read.
-- KEYS: client, never_used, used. ARGV: id, version that was read, '1' if it is dynamic now, what `announce` takes, how many
-- fields and values follow, those, then the fields that are empty now.
-- Result: {outcome, what `announce` says}; the outcome is 'replaced', 'conflict' or 'gone'.
local found = redis.call('HMGET', KEYS[1], 'version', 'created_at', 'last_used_at')
if not found[1] then
    return {'gone', ''}
end
if found[1] ~= ARGV[2] then
    return {'conflict', ''}
end
local last = 6 + tonumber(ARGV[6])
redis.call('HSET', KEYS[1], unpack(ARGV, 7, last))
if #ARGV > last then
    redis.call('HDEL', KEYS[1], unpack(ARGV, last + 1))
end
redis.call('HINCRBY', KEYS[1], 'version', 1)
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[3] == '1' then
    if found[3] then
        redis.call('ZADD', KEYS[3], found[3], ARGV[1])
    else
        redis.call('ZADD', KEYS[2], found[2], ARGV[1])
    end
end
return {'replaced', announce(ARGV[4], ARGV[5])}
