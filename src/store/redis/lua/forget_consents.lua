-- Forgets what a human agreed to.
-- KEYS: consents of the human. ARGV: client (empty: all of them).
-- Result: for how many resources of how many clients.
local gone = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if ARGV[1] == '' or string.match(field, '^[^ ]+') == ARGV[1] then
        redis.call('HDEL', KEYS[1], field)
        gone = gone + 1
    end
end
return gone
