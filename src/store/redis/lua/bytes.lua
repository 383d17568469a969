-- Shared by what compares texts.
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

