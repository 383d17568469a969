-- Ends a session.
-- KEYS: those of sessions. ARGV: digest.
-- Result: 1, or 0 if it was not there.
return close(ARGV[1])
