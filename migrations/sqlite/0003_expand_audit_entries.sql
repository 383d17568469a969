-- The audit trail. A name begins with its time, so the primary key finds a period; rows are added and forgotten, never changed.
CREATE TABLE audit_entries (
    id         TEXT    NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    event      TEXT    NOT NULL,
    outcome    TEXT    NOT NULL,
    reason     TEXT,
    client_id  TEXT,
    user_id    TEXT,
    grant_id   TEXT,
    token_id   TEXT,
    key_id     TEXT,
    address    TEXT,
    request_id TEXT,
    attempt_id TEXT,
    instance   TEXT    NOT NULL,
    times      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX audit_entries_by_client ON audit_entries (client_id, id) WHERE client_id IS NOT NULL;
CREATE INDEX audit_entries_by_user ON audit_entries (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_entries_of_servers ON audit_entries (instance, id) WHERE event IN ('server.start', 'server.stop');
