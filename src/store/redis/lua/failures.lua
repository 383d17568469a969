-- Reads the failures of a window, in one moment.
-- KEYS: failures, windows. ARGV: key.
-- Result: nothing, or {how many, end}.
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
return ends and {redis.call('HGET', KEYS[1], ARGV[1]), ends}
