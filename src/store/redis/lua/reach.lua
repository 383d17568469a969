-- Whether scripts may read keys that are not named beforehand.
-- KEYS: any. ARGV: another one.
redis.call('EXISTS', KEYS[1])
return redis.call('EXISTS', ARGV[1])
