-- Adds a key behind the newest one of its algorithm.
-- KEYS: keys. ARGV: id, algorithm, columns as JSON, what the newest one has to be (empty: there is none).
-- Result: 1, or 0 if it is another one or the name is taken.

-- By bytes: the comparison of Lua follows the locale of the server.
local function greater(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = string.byte(a, i), string.byte(b, i)
        if x ~= y then
            return x > y
        end
    end
    return #a > #b
end

local newest, from = '', nil
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
    local key = cjson.decode(all[i + 1])
    if key.algorithm == ARGV[2]
        and (not from or key.signs_from > from or (key.signs_from == from and greater(all[i], newest)))
    then
        newest, from = all[i], key.signs_from
    end
end
if newest ~= ARGV[4] then
    return 0
end
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[3])
