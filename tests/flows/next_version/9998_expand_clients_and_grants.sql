-- What a newer version might add, for tests/flows/upgrade.rs.

ALTER TABLE clients ADD COLUMN logo_uri TEXT;
ALTER TABLE grants ADD COLUMN device TEXT NOT NULL DEFAULT 'unknown';

CREATE TABLE devices (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    grant_id TEXT COLLATE "C" NOT NULL REFERENCES grants (id) ON DELETE CASCADE
);

CREATE INDEX devices_by_grant ON devices (grant_id);
