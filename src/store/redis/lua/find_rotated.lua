-- Reads a refresh token with its grant, in one moment.
-- KEYS: grant. ARGV: digest, then the columns of a grant.
-- Result: nothing, or {issue, rotation or nil, '1' if the successor was rotated or '0', columns..}.
local found = redis.call('HMGET', KEYS[1], 'r' .. ARGV[1], 's' .. ARGV[1], unpack(ARGV, 2))
if not found[1] then
    return false
end
local used = 0
if found[2] then
    local _, after, length = string.find(found[2], '^%-?%d+ (%d+) ')
    if length ~= '0' then
        local successor = string.sub(found[2], after + 1, after + tonumber(length))
        used = redis.call('HEXISTS', KEYS[1], 's' .. successor)
    end
end
table.insert(found, 3, tostring(used))
return found
