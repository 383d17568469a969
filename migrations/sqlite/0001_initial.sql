-- Times are Unix seconds. Digests are SHA-256, 32 bytes. No column holds a credential that could be used.

-- Clients ---------------------------------------------------------------------------------------------------------------

CREATE TABLE clients (
    id                 TEXT    NOT NULL PRIMARY KEY,
    name               TEXT,
    uri                TEXT,
    provenance         TEXT    NOT NULL,
    status             TEXT    NOT NULL,
    authentication     TEXT    NOT NULL,
    secrets            TEXT    NOT NULL,  -- JSON: [{digest, expires_at}], the newest first
    jwks               TEXT,              -- JSON Web Key Set
    redirect_uris      TEXT    NOT NULL,  -- JSON: [text]
    grant_types        TEXT    NOT NULL,  -- JSON: [text]
    application_type   TEXT    NOT NULL,
    scope              TEXT    NOT NULL,
    resources          TEXT    NOT NULL,  -- JSON: [text]
    may_introspect     INTEGER NOT NULL CHECK (may_introspect IN (0, 1)),
    software_id        TEXT,
    software_version   TEXT,
    registration_token BLOB    CHECK (length(registration_token) = 32),
    created_at         INTEGER NOT NULL,
    last_used_at       INTEGER,           -- NULL: never used
    version            INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX dynamic_clients ON clients (last_used_at, created_at) WHERE provenance = 'dynamic';

-- Tombstones: a name is not given out again, and a client that comes back is told why it is gone.
CREATE TABLE removed_clients (
    id         TEXT    NOT NULL PRIMARY KEY,
    reason     TEXT    NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX removed_clients_by_time ON removed_clients (removed_at);

-- Tokens ----------------------------------------------------------------------------------------------------------------

-- Active: both revocation columns NULL. Revoked: both set.
CREATE TABLE grants (
    id                TEXT    NOT NULL PRIMARY KEY,
    client_id         TEXT    NOT NULL,
    user_id           TEXT    NOT NULL,
    scope             TEXT    NOT NULL,
    resources         TEXT    NOT NULL,  -- JSON: [text], the default audience first
    auth_time         INTEGER NOT NULL,
    created_at        INTEGER NOT NULL,
    expires_at        INTEGER NOT NULL,
    revoked_at        INTEGER,
    revocation_reason TEXT,
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX grants_by_client ON grants (client_id, id);
CREATE INDEX grants_by_user ON grants (user_id, id);
CREATE INDEX grants_by_end ON grants (expires_at);

-- Unspent: spent_at NULL. Spent: spent_at set; it stays as long as its grant, so that a replay is recognised.
CREATE TABLE codes (
    digest          BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    grant_id        TEXT    NOT NULL UNIQUE REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri    TEXT    NOT NULL,
    challenge       BLOB    NOT NULL CHECK (length(challenge) = 32),
    expires_at      INTEGER NOT NULL,
    spent_at        INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX unspent_codes_by_end ON codes (expires_at) WHERE spent_at IS NULL;

-- Current: the last three columns NULL. Rotated: rotated_at and sealed_successor set, and successor with them; it stays
-- until it would have expired. Its successor was used when that row is rotated itself.
CREATE TABLE refresh_tokens (
    digest           BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    grant_id         TEXT    NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    issued_at        INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    rotated_at       INTEGER,
    sealed_successor BLOB,
    successor        BLOB    CHECK (length(successor) = 32),
    CHECK ((rotated_at IS NULL) = (sealed_successor IS NULL)),
    CHECK (rotated_at IS NOT NULL OR successor IS NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

-- Opaque access tokens. For a human: grant_id, user_id and auth_time set. For the client itself: all three NULL.
CREATE TABLE access_tokens (
    digest     BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    token_id   TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    grant_id   TEXT    REFERENCES grants (id) ON DELETE CASCADE,
    user_id    TEXT,
    auth_time  INTEGER,
    scope      TEXT    NOT NULL,
    audience   TEXT    NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((grant_id IS NULL) = (user_id IS NULL) AND (grant_id IS NULL) = (auth_time IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX access_tokens_by_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_tokens_by_end ON access_tokens (expires_at);

-- Access tokens, of either form, that were revoked one by one; kept until they would have expired.
CREATE TABLE revoked_access_tokens (
    token_id   TEXT    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_access_tokens_by_end ON revoked_access_tokens (expires_at);

-- What may be used once only, e.g. a client assertion; kept until it would be refused anyway.
CREATE TABLE single_uses (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX single_uses_by_end ON single_uses (expires_at);

-- Accounts --------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id            TEXT    NOT NULL PRIMARY KEY,
    username      TEXT    NOT NULL UNIQUE,
    password_hash TEXT    NOT NULL,  -- argon2id, PHC string
    status        TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    digest       BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    user_id      TEXT    NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    auth_time    INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at);
CREATE INDEX sessions_by_auth_time ON sessions (auth_time);

CREATE TABLE consents (
    user_id    TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    resource   TEXT    NOT NULL,  -- in canonical form
    scope      TEXT    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, client_id, resource)
) STRICT, WITHOUT ROWID;

CREATE TABLE login_failures (
    key            BLOB    NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    failures       INTEGER NOT NULL,
    window_ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX login_failures_by_end ON login_failures (window_ends_at);

-- Keys ------------------------------------------------------------------------------------------------------------------

CREATE TABLE signing_keys (
    id             TEXT    NOT NULL PRIMARY KEY,
    algorithm      TEXT    NOT NULL,
    public_jwk     TEXT    NOT NULL,  -- JSON Web Key
    sealed_private BLOB    NOT NULL,  -- PKCS#8, sealed with the master key
    created_at     INTEGER NOT NULL,
    signs_from     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
