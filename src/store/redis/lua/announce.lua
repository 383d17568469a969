-- Shared by what changes something that others keep copies of.
-- Tells them. What was changed stays changed if that is forbidden.
-- Result: why they could not be told, or an empty text.
local function announce(channel, line)
    local told = redis.pcall('PUBLISH', channel, line)
    return type(told) == 'table' and told.err or ''
end

