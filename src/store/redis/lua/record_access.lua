-- Records an opaque access token under an active grant.
-- KEYS: grant, ends. ARGV: what `record` takes.
-- Result: {outcome, due}; the outcome is 'recorded' or 'revoked'.
local found = redis.call('HMGET', KEYS[1], 'grant_id', 'revoked_at')
if not found[1] or found[2] then
    return {'revoked', ''}
end
return {'recorded', record(KEYS[1], KEYS[2], 1)}
