-- Adds an account.
-- KEYS: user, names, by_name. ARGV: id, name, then fields and values of the hash.
-- Result: 1, or 0 if the identifier or the name is taken.
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[1]) == 0 then
    return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
redis.call('ZADD', KEYS[3], 0, ARGV[2])
return 1
