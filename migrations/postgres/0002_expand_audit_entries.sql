-- The audit trail. A name begins with its time, so the primary key finds a period; rows are added and forgotten, never changed.
CREATE TABLE audit_entries (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    event      TEXT   NOT NULL,
    outcome    TEXT   NOT NULL,
    reason     TEXT,
    client_id  TEXT   COLLATE "C",
    user_id    TEXT   COLLATE "C",
    grant_id   TEXT   COLLATE "C",
    token_id   TEXT   COLLATE "C",
    key_id     TEXT   COLLATE "C",
    address    TEXT,
    request_id TEXT,
    attempt_id TEXT,
    instance   TEXT   NOT NULL,
    times      BIGINT NOT NULL
);

CREATE INDEX audit_entries_by_client ON audit_entries (client_id, id) WHERE client_id IS NOT NULL;
CREATE INDEX audit_entries_by_user ON audit_entries (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_entries_of_servers ON audit_entries (instance, id) WHERE event IN ('server.start', 'server.stop');
