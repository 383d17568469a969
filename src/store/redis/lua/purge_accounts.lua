-- Forgets sessions and windows that are over.
-- KEYS: those of sessions, failures, windows. ARGV: sessions that were last seen then, or authenticated then, are over;
-- windows that end now are over; how many of each may go.
-- Result: how many went.
local gone = 0
for key = 2, 3 do
    local over = redis.call('ZRANGE', KEYS[key], '-inf', ARGV[key - 1], 'BYSCORE', 'LIMIT', 0, ARGV[4] - gone)
    for _, digest in ipairs(over) do
        gone = gone + close(digest)
    end
end
for _, window in ipairs(redis.call('ZRANGE', KEYS[6], '-inf', ARGV[3], 'BYSCORE', 'LIMIT', 0, ARGV[4])) do
    redis.call('ZREM', KEYS[6], window)
    redis.call('HDEL', KEYS[5], window)
    gone = gone + 1
end
return gone
