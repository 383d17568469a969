-- Adds to what a human agreed to.
-- KEYS: consents of the human, consents. ARGV: 'client resource', 'client human resource', now, then scopes.
-- Result: nothing. The value is 'updated_at scope..'.
local known = redis.call('HGET', KEYS[1], ARGV[1])
local at, words, seen = ARGV[3], {}, {}
local function add(word)
    if not seen[word] then
        seen[word] = true
        table.insert(words, word)
    end
end
if known then
    local before, scope = string.match(known, '^(%-?%d+)(.*)$')
    if tonumber(before) > tonumber(at) then
        at = before
    end
    for word in string.gmatch(scope, '[^ ]+') do
        add(word)
    end
end
for i = 4, #ARGV do
    add(ARGV[i])
end
table.insert(words, 1, at)
redis.call('HSET', KEYS[1], ARGV[1], table.concat(words, ' '))
redis.call('ZADD', KEYS[2], 0, ARGV[2])
return false
