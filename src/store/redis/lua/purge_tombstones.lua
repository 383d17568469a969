-- Forgets tombstones.
-- KEYS: removed, then clients. ARGV: their ids in the same order.
-- Result: how many there were.
local gone = 0
for i, id in ipairs(ARGV) do
    -- Another instance may have been here, and the identifier may have been given out again since.
    if redis.call('HEXISTS', KEYS[1 + i], 'removed_at') == 1 then
        redis.call('DEL', KEYS[1 + i])
        gone = gone + 1
    end
    redis.call('ZREM', KEYS[1], id)
end
return gone
