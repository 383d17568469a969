-- Records an account in the place of whatever has its identifier.
-- KEYS: user, names, by_name. ARGV: id, name, what `announce` takes, then fields and values of the hash.
-- Result: {1, or 0 if another account has the name; what `announce` says}.
local holder = redis.call('HGET', KEYS[2], ARGV[2])
if holder and holder ~= ARGV[1] then
    return {0, ''}
end
local before = redis.call('HGET', KEYS[1], 'username')
if before then
    redis.call('HDEL', KEYS[2], before)
    redis.call('ZREM', KEYS[3], before)
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[3], 0, ARGV[2])
return {1, announce(ARGV[3], ARGV[4])}
