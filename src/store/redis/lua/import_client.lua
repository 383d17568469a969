-- Records a client or a tombstone in the place of whatever has its name.
-- KEYS: client, ids, never_used, used, removed. ARGV: id, what `announce` takes, how many lists it is in, for each of them its
-- place among KEYS and a score, then fields and values.
-- Result: {1, what `announce` says}.
redis.call('DEL', KEYS[1])
for i = 2, 5 do
    redis.call('ZREM', KEYS[i], ARGV[1])
end
local last = 4 + 2 * tonumber(ARGV[4])
redis.call('HSET', KEYS[1], unpack(ARGV, last + 1))
for i = 5, last, 2 do
    redis.call('ZADD', KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[1])
end
return {1, announce(ARGV[2], ARGV[3])}
