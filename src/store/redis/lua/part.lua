-- Reads a part of a list, in the order of its scores and, where these are the same, of its members.
-- KEYS: list. ARGV: how many at most; the score and the member behind which the part begins (missing: at the beginning). That
-- member need not be there any more.
-- Result: members and scores.
local first, last = 0, redis.call('ZCARD', KEYS[1])
if ARGV[2] then
    local score = tonumber(ARGV[2])
    while first < last do
        local middle = math.floor((first + last) / 2)
        local found = redis.call('ZRANGE', KEYS[1], middle, middle, 'WITHSCORES')
        local at = tonumber(found[2])
        if at > score or (at == score and greater(found[1], ARGV[3])) then
            last = middle
        else
            first = middle + 1
        end
    end
end
return redis.call('ZRANGE', KEYS[1], first, first + tonumber(ARGV[1]) - 1, 'WITHSCORES')
