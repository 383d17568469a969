-- Records a grant with its code.
-- KEYS: grant. ARGV: fields and values of the hash.
-- Result: 1, or 0 if the name is taken.
if redis.call('EXISTS', KEYS[1]) == 1 then
    return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV))
return 1
