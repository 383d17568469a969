-- no-transaction
CREATE INDEX CONCURRENTLY grants_by_device ON grants (device) WHERE device <> 'unknown'
