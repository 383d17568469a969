-- Forgets what is over in one grant.
-- KEYS: grant, ends. ARGV: now; how many grants, codes, refresh tokens and access tokens may still go.
-- Result: {'gone'} if it is not there; {'deleted', grants, codes, refresh, access}; or {'kept', the same, next end}.
local now = tonumber(ARGV[1])
local budget = {grants = tonumber(ARGV[2]), codes = tonumber(ARGV[3]), r = tonumber(ARGV[4]), a = tonumber(ARGV[5])}
local gone = {codes = 0, r = 0, a = 0}
local found = redis.call('HMGET', KEYS[1], 'grant_expires_at', 'digest', 'expires_at', 'spent_at')
if not found[1] then
    return {'gone', 0, 0, 0, 0, ''}
end
if tonumber(found[1]) <= now and budget.grants > 0 then
    redis.call('UNLINK', KEYS[1], KEYS[2])
    return {'deleted', 1, 0, 0, 0, ''}
end
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], '-inf', now, 'BYSCORE', 'LIMIT', 0, budget.r + budget.a)) do
    local kind = string.sub(member, 1, 1)
    if gone[kind] < budget[kind] then
        gone[kind] = gone[kind] + 1
        redis.call('HDEL', KEYS[1], member, 's' .. string.sub(member, 2))
        redis.call('ZREM', KEYS[2], member)
    end
end
local code_end = found[2] and not found[4] and found[3]
if code_end and tonumber(code_end) <= now and budget.codes > 0 then
    gone.codes = 1
    if redis.call('EXISTS', KEYS[2]) == 0 then
        redis.call('UNLINK', KEYS[1])
        return {'deleted', 0, 1, gone.r, gone.a, ''}
    end
    redis.call('HDEL', KEYS[1], 'digest', 'redirect_uri', 'challenge', 'expires_at')
    code_end = false
end
local due = found[1]
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
for _, at in pairs({code_end or nil, first[2]}) do
    if tonumber(at) < tonumber(due) then
        due = at
    end
end
redis.call('HSET', KEYS[1], 'due', due)
return {'kept', 0, gone.codes, gone.r, gone.a, due}
