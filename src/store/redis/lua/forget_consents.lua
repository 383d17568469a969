-- Forgets what a human agreed to.
-- KEYS: consents of the human, consents. ARGV: human, client (empty: all of them).
-- Result: for how many resources of how many clients.
local gone = 0
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local client, resource = string.match(field, '^([^ ]+) (.*)$')
    if ARGV[2] == '' or client == ARGV[2] then
        redis.call('HDEL', KEYS[1], field)
        redis.call('ZREM', KEYS[2], client .. ' ' .. ARGV[1] .. ' ' .. resource)
        gone = gone + 1
    end
end
return gone
