-- Reads a session with its account, in one moment.
-- KEYS: sessions, seen, user. ARGV: digest.
-- Result: nothing, or {session, last_seen_at, hash of the account}.
local found = redis.call('HGET', KEYS[1], ARGV[1])
if not found then
    return false
end
return {found, redis.call('ZSCORE', KEYS[2], ARGV[1]), redis.call('HGETALL', KEYS[3])}
