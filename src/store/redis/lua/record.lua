-- Shared by what issues tokens under a grant that is known to be active.
-- Records what is issued, from seven arguments that start at ARGV[first]: digest, issued_at and expires_at of a refresh token;
-- digest, columns as JSON and expires_at of an opaque access token; when the last of it expires. Empty: there is none.
-- Result: when the grant has to be pruned, if that is earlier than it was due; or an empty text.
local function record(grant, ends, first)
    local earliest
    local function expires(member, at)
        redis.call('ZADD', ends, at, member)
        if not earliest or tonumber(at) < tonumber(earliest) then
            earliest = at
        end
    end
    if ARGV[first] ~= '' then
        redis.call('HSET', grant, 'r' .. ARGV[first], ARGV[first + 1] .. ' ' .. ARGV[first + 2])
        expires('r' .. ARGV[first], ARGV[first + 2])
    end
    if ARGV[first + 3] ~= '' then
        redis.call('HSET', grant, 'a' .. ARGV[first + 3], ARGV[first + 4])
        expires('a' .. ARGV[first + 3], ARGV[first + 5])
    end
    local known = redis.call('HMGET', grant, 'grant_expires_at', 'due')
    if ARGV[first + 6] ~= '' and tonumber(ARGV[first + 6]) > tonumber(known[1]) then
        redis.call('HSET', grant, 'grant_expires_at', ARGV[first + 6])
    end
    if earliest and tonumber(earliest) < tonumber(known[2]) then
        redis.call('HSET', grant, 'due', earliest)
        return earliest
    end
    return ''
end

