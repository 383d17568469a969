-- Changes one field of an account.
-- KEYS: those of sessions, user. ARGV: id, field, value, '1' if every session ends; and what `announce` takes, if others keep
-- copies of the field.
-- Result: {1, or 0 if there is no such account; what `announce` says}.
if redis.call('EXISTS', KEYS[5]) == 0 then
    return {0, ''}
end
redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
if ARGV[4] == '1' then
    close_all(ARGV[1])
end
return {1, ARGV[5] and announce(ARGV[5], ARGV[6]) or ''}
