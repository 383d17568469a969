-- Counts a failed login.
-- KEYS: failures, windows. ARGV: key, end of a window that starts now, now.
-- Result: how many there are in the window.
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not ends or tonumber(ends) <= tonumber(ARGV[3]) then
    redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
    redis.call('HSET', KEYS[1], ARGV[1], 1)
    return 1
end
return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
