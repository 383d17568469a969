-- Spends a code and records what is issued for it.
-- KEYS: grant, ends. ARGV: digest of the code, now, and what `record` takes.
-- Result: {outcome, due}; the outcome is 'redeemed', 'spent' or 'revoked'.
local found = redis.call('HMGET', KEYS[1], 'digest', 'spent_at', 'revoked_at')
if found[1] ~= ARGV[1] then
    -- Purged since it was found: as good as revoked.
    return {'revoked', ''}
end
if found[2] then
    return {'spent', ''}
end
if found[3] then
    return {'revoked', ''}
end
redis.call('HSET', KEYS[1], 'spent_at', ARGV[2])
return {'redeemed', record(KEYS[1], KEYS[2], 3)}
