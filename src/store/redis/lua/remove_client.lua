-- Puts a tombstone in the place of a client.
-- KEYS: client, ids, never_used, used, removed. ARGV: id, reason, now, what `announce` takes; to reap also what `last_used_at` has
-- to be still (empty: never used), and then only a dynamic client goes.
-- Result: {1, or 0 if it was not there or was spared; what `announce` says}.
local found = redis.call('HMGET', KEYS[1], 'id', 'provenance', 'last_used_at')
if not found[1] then
    return {0, ''}
end
if ARGV[6] and (found[2] ~= 'dynamic' or (found[3] or '') ~= ARGV[6]) then
    return {0, ''}
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'reason', ARGV[2], 'removed_at', ARGV[3])
for i = 2, 4 do
    redis.call('ZREM', KEYS[i], ARGV[1])
end
redis.call('ZADD', KEYS[5], ARGV[3], ARGV[1])
return {1, announce(ARGV[4], ARGV[5])}
