-- Adds a key behind the newest one of its algorithm.
-- KEYS: keys. ARGV: id, algorithm, columns as JSON, what the newest one has to be (empty: there is none), and what `announce`
-- takes.
-- Result: {1, or 0 if it is another one or the name is taken; what `announce` says}.
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
if newest ~= ARGV[4] or redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[3]) == 0 then
    return {0, ''}
end
return {1, announce(ARGV[5], ARGV[6])}
