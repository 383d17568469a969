-- Notes a use, unless it was noted and is not over.
-- KEYS: uses. ARGV: id, until, now.
-- Result: 1 if it is the first, else 0.
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted and tonumber(noted) > tonumber(ARGV[3]) then
    return 0
end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
return 1
