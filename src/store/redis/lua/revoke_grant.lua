-- Revokes a grant, unless somebody did before.
-- KEYS: grant. ARGV: now, reason.
-- Result: 1 if this was the first revocation, else 0.
local found = redis.call('HMGET', KEYS[1], 'grant_id', 'revoked_at')
if not found[1] or found[2] then
    return 0
end
redis.call('HSET', KEYS[1], 'revoked_at', ARGV[1], 'revocation_reason', ARGV[2])
return 1
