-- Adds to what a human agreed to.
-- KEYS: consents of the human. ARGV: 'client resource', now, then scopes.
-- Result: nothing. The value is 'updated_at scope..'.
local known = redis.call('HGET', KEYS[1], ARGV[1])
local at, words, seen = ARGV[2], {}, {}
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
for i = 3, #ARGV do
    add(ARGV[i])
end
table.insert(words, 1, at)
redis.call('HSET', KEYS[1], ARGV[1], table.concat(words, ' '))
return false
