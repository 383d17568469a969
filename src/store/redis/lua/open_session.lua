-- Records a session of an active account and ends the one that it replaces.
-- KEYS: those of sessions, user. ARGV: user, digest, auth_time, last_seen_at, digest of the replaced one (empty: none).
-- Result: 1, or 0 if the account is not there or not active.
if redis.call('HGET', KEYS[5], 'status') ~= 'active' then
    return 0
end
if ARGV[5] ~= '' then
    close(ARGV[5])
end
open(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return 1
