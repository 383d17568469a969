-- Rotates a refresh token and records what is issued for it.
-- KEYS: grant, ends. ARGV: digest, now, sealed successor, and what `record` takes (its refresh token is the successor).
-- Result: {outcome, due}; the outcome is 'rotated', 'again' or 'revoked'.
local found = redis.call('HMGET', KEYS[1], 'r' .. ARGV[1], 's' .. ARGV[1], 'revoked_at')
if not found[1] or found[3] then
    return {'revoked', ''}
end
if found[2] then
    return {'again', ''}
end
-- The digest of the successor is 32 bytes, or none; what is sealed may be any bytes.
redis.call('HSET', KEYS[1], 's' .. ARGV[1], ARGV[2] .. ' ' .. #ARGV[4] .. ' ' .. ARGV[4] .. ARGV[3])
return {'rotated', record(KEYS[1], KEYS[2], 4)}
