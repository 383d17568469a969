-- Forgets uses, revocations and access tokens without a grant that are over.
-- KEYS: uses, revoked, alone. ARGV: now; how many of each may go; what the names of access tokens begin with (the members of
-- `alone` end them: names of this slot that cannot be known before).
-- Result: {uses, revocations, access tokens} that went.
local gone = {}
for i, key in ipairs(KEYS) do
    local over = redis.call('ZRANGE', key, '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[1 + i])
    for _, member in ipairs(over) do
        redis.call('ZREM', key, member)
        if i == 3 then
            redis.call('UNLINK', ARGV[5] .. member)
        end
    end
    gone[i] = #over
end
return gone
