-- Forgets the failures of a window.
-- KEYS: failures, windows. ARGV: key.
-- Result: nothing.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return false
