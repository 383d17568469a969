-- Records a session in the place of whatever has its name.
-- KEYS: those of sessions, user. ARGV: user, digest, auth_time, last_seen_at.
-- Result: 1, or 0 if the account is not there.
if redis.call('EXISTS', KEYS[5]) == 0 then
    return 0
end
close(ARGV[2])
open(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
return 1
