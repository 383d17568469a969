-- Forgets a key.
-- KEYS: keys. ARGV: id, and what `announce` takes.
-- Result: {1, or 0 if it was not there; what `announce` says}.
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
    return {0, ''}
end
return {1, announce(ARGV[2], ARGV[3])}
