-- Reads an index entry and fields of the grant that it leads to, in one moment. For a server that has every slot.
-- KEYS: entry. ARGV: what all keys begin with; what stands before the name of a grant in such entries; the fields.
-- Result: nothing, or {entry, field or nil..}; {entry} if it leads to no grant.
local entry = redis.call('GET', KEYS[1])
if not entry then
    return false
end
local mark = #ARGV[2]
if string.sub(entry, 1, mark) ~= ARGV[2] then
    return {entry}
end
-- As `names.rs` writes it.
local function encode(byte)
    return string.format('%%%02X', string.byte(byte))
end
local tag = string.gsub(string.sub(entry, mark + 1), '[%c%%{}\127-\255]', encode)
return {entry, unpack(redis.call('HMGET', ARGV[1] .. '{' .. tag .. '}:grant', unpack(ARGV, 3)))}
