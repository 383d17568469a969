-- Adds a client.
-- KEYS: client, ids, never_used, used. ARGV: id, limit of dynamic clients (empty: none), '1' if it is dynamic, created_at,
-- last_used_at (empty: never), then fields and values of the hash.
-- Result: 'inserted', 'taken' or 'full'.
if redis.call('EXISTS', KEYS[1]) == 1 then
    return 'taken'
end
if ARGV[2] ~= '' and redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4]) >= tonumber(ARGV[2]) then
    return 'full'
end
redis.call('HSET', KEYS[1], unpack(ARGV, 6))
redis.call('ZADD', KEYS[2], 0, ARGV[1])
if ARGV[3] == '1' then
    if ARGV[5] == '' then
        redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
    else
        redis.call('ZADD', KEYS[4], ARGV[5], ARGV[1])
    end
end
return 'inserted'
