-- Records a key in the place of whatever has its name.
-- KEYS: keys. ARGV: id, columns as JSON, and what `announce` takes.
-- Result: {1, what `announce` says}.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {1, announce(ARGV[3], ARGV[4])}
