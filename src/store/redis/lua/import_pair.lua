-- Records something that is a field of a hash and a member of a list, in one step.
-- KEYS: hash, list. ARGV: field, value, member, score.
-- Result: nothing.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[3])
return false
