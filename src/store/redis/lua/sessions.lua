-- Shared by what ends sessions.
-- KEYS begin with: sessions, seen, authenticated, by_user. A session is its digest; its value is 'auth_time user'.

-- Ends a session; 1, or 0 if it was not there.
local function close(digest)
    local found = redis.call('HGET', KEYS[1], digest)
    if not found then
        return 0
    end
    redis.call('HDEL', KEYS[1], digest)
    redis.call('ZREM', KEYS[2], digest)
    redis.call('ZREM', KEYS[3], digest)
    redis.call('ZREM', KEYS[4], string.match(found, ' (.*)$') .. ' ' .. digest)
    return 1
end

-- Ends every session of an account. Identifiers hold no space, and '!' comes after it.
local function close_all(user)
    for _, member in ipairs(redis.call('ZRANGE', KEYS[4], '[' .. user .. ' ', '(' .. user .. '!', 'BYLEX')) do
        close(string.sub(member, #user + 2))
    end
end

