-- Forgets some of what humans agreed to for a client. Identifiers hold no space, and '!' comes after it.
-- KEYS: consents. ARGV: client, for how many humans and resources at most, what the names of the consents of a human begin with
-- (the human ends them: names of this slot that cannot be known before).
-- Result: for how many.
local members = redis.call('ZRANGE', KEYS[1], '[' .. ARGV[1] .. ' ', '(' .. ARGV[1] .. '!', 'BYLEX', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(members) do
    local user, resource = string.match(member, '^[^ ]+ ([^ ]+) (.*)$')
    redis.call('HDEL', ARGV[3] .. user, ARGV[1] .. ' ' .. resource)
    redis.call('ZREM', KEYS[1], member)
end
return #members
