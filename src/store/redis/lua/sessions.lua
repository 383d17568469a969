-- Shared by what begins and ends sessions.
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

-- Records a session that is not there.
local function open(user, digest, auth_time, last_seen_at)
    redis.call('HSET', KEYS[1], digest, auth_time .. ' ' .. user)
    redis.call('ZADD', KEYS[2], last_seen_at, digest)
    redis.call('ZADD', KEYS[3], auth_time, digest)
    redis.call('ZADD', KEYS[4], 0, user .. ' ' .. digest)
end

-- Ends every session of an account. Identifiers hold no space, and '!' comes after it.
local function close_all(user)
    for _, member in ipairs(redis.call('ZRANGE', KEYS[4], '[' .. user .. ' ', '(' .. user .. '!', 'BYLEX')) do
        close(string.sub(member, #user + 2))
    end
end

