-- Records a grant with all that hangs off it in the place of whatever has its name.
-- KEYS: grant, ends. ARGV: how many fields and values, those, then when tokens end and the fields that they are.
-- Result: nothing.
redis.call('UNLINK', KEYS[1], KEYS[2])
-- One by one: there may be more than fit into one call.
local last = 1 + tonumber(ARGV[1])
for i = 2, last, 2 do
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
end
for i = last + 1, #ARGV, 2 do
    redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1])
end
return false
