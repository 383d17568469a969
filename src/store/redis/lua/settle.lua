-- After a grant was pruned: says when it is due again. Another instance may have said so, too, or something else since.
-- KEYS: due. ARGV: member, the time at which it was found due, the time at which it is due next.
-- Result: nothing.
local at = redis.call('ZSCORE', KEYS[1], ARGV[1])
if at and tonumber(at) == tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
end
return false
