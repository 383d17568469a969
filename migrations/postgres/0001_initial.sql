-- Times are Unix seconds. Digests are SHA-256, 32 bytes. No column holds a credential that could be used.
-- Keys are compared byte by byte (COLLATE "C"), so that a listing has the same order in every store.

-- Clients ---------------------------------------------------------------------------------------------------------------

CREATE TABLE clients (
    id                 TEXT    COLLATE "C" NOT NULL PRIMARY KEY,
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
    may_introspect     BOOLEAN NOT NULL,
    software_id        TEXT,
    software_version   TEXT,
    registration_token BYTEA   CHECK (octet_length(registration_token) = 32),
    created_at         BIGINT  NOT NULL,
    last_used_at       BIGINT,            -- NULL: never used
    version            BIGINT  NOT NULL
);

CREATE INDEX dynamic_clients ON clients (last_used_at, created_at) WHERE provenance = 'dynamic';

-- Tombstones: a name is not given out again, and a client that comes back is told why it is gone.
CREATE TABLE removed_clients (
    id         TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    reason     TEXT   NOT NULL,
    removed_at BIGINT NOT NULL
);

CREATE INDEX removed_clients_by_time ON removed_clients (removed_at);

-- Tokens ----------------------------------------------------------------------------------------------------------------

-- Active: both revocation columns NULL. Revoked: both set.
CREATE TABLE grants (
    id                TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    client_id         TEXT   COLLATE "C" NOT NULL,
    user_id           TEXT   COLLATE "C" NOT NULL,
    scope             TEXT   NOT NULL,
    resources         TEXT   NOT NULL,  -- JSON: [text], the default audience first
    auth_time         BIGINT NOT NULL,
    created_at        BIGINT NOT NULL,
    expires_at        BIGINT NOT NULL,
    revoked_at        BIGINT,
    revocation_reason TEXT,
    CHECK ((revoked_at IS NULL) = (revocation_reason IS NULL))
);

CREATE INDEX grants_by_client ON grants (client_id, id);
CREATE INDEX grants_by_user ON grants (user_id, id);
CREATE INDEX grants_by_end ON grants (expires_at);

-- Unspent: spent_at NULL. Spent: spent_at set; it stays as long as its grant, so that a replay is recognised.
CREATE TABLE codes (
    digest       BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    grant_id     TEXT   COLLATE "C" NOT NULL UNIQUE REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri TEXT   NOT NULL,
    challenge    BYTEA  NOT NULL CHECK (octet_length(challenge) = 32),
    expires_at   BIGINT NOT NULL,
    spent_at     BIGINT
);

CREATE INDEX unspent_codes_by_end ON codes (expires_at) WHERE spent_at IS NULL;

CREATE TABLE refresh_tokens (
    digest     BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    grant_id   TEXT   COLLATE "C" NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_by_end ON refresh_tokens (expires_at);

-- A refresh token without a row here is current; with one it is rotated. Its successor was used when that one has a row,
-- too. A table of its own, so that one statement both rotates the parent and records the successor: some engines let a
-- statement change a table only once.
CREATE TABLE rotations (
    parent           BYTEA  NOT NULL PRIMARY KEY REFERENCES refresh_tokens (digest) ON DELETE CASCADE,
    rotated_at       BIGINT NOT NULL,
    sealed_successor BYTEA  NOT NULL,
    successor        BYTEA  CHECK (octet_length(successor) = 32)
);

-- Opaque access tokens. For a human: grant_id, user_id and auth_time set. For the client itself: all three NULL.
CREATE TABLE access_tokens (
    digest     BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    token_id   TEXT   COLLATE "C" NOT NULL,
    client_id  TEXT   COLLATE "C" NOT NULL,
    grant_id   TEXT   COLLATE "C" REFERENCES grants (id) ON DELETE CASCADE,
    user_id    TEXT   COLLATE "C",
    auth_time  BIGINT,
    scope      TEXT   NOT NULL,
    audience   TEXT   NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK ((grant_id IS NULL) = (user_id IS NULL) AND (grant_id IS NULL) = (auth_time IS NULL))
);

CREATE INDEX access_tokens_by_grant ON access_tokens (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX access_tokens_by_end ON access_tokens (expires_at);

-- Access tokens, of either form, that were revoked one by one; kept until they would have expired.
CREATE TABLE revoked_access_tokens (
    token_id   TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE INDEX revoked_access_tokens_by_end ON revoked_access_tokens (expires_at);

-- What may be used once only, e.g. a client assertion; kept until it would be refused anyway.
CREATE TABLE single_uses (
    id         BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(id) = 32),
    expires_at BIGINT NOT NULL
);

CREATE INDEX single_uses_by_end ON single_uses (expires_at);

-- Accounts --------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
    id            TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    username      TEXT   COLLATE "C" NOT NULL UNIQUE,
    password_hash TEXT   NOT NULL,  -- argon2id, PHC string
    status        TEXT   NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE sessions (
    digest       BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    user_id      TEXT   COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    auth_time    BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL
);

CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_last_seen ON sessions (last_seen_at);
CREATE INDEX sessions_by_auth_time ON sessions (auth_time);

CREATE TABLE consents (
    user_id    TEXT   COLLATE "C" NOT NULL,
    client_id  TEXT   COLLATE "C" NOT NULL,
    resource   TEXT   COLLATE "C" NOT NULL,  -- in canonical form
    scope      TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, resource)
);

CREATE INDEX consents_by_client ON consents (client_id);

CREATE TABLE login_failures (
    key            BYTEA  NOT NULL PRIMARY KEY CHECK (octet_length(key) = 32),
    failures       BIGINT NOT NULL,
    window_ends_at BIGINT NOT NULL
);

CREATE INDEX login_failures_by_end ON login_failures (window_ends_at);

-- Keys ------------------------------------------------------------------------------------------------------------------

CREATE TABLE signing_keys (
    id             TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    algorithm      TEXT   NOT NULL,
    public_jwk     TEXT   NOT NULL,  -- JSON Web Key
    sealed_private BYTEA  NOT NULL,  -- PKCS#8, sealed with the master key
    created_at     BIGINT NOT NULL,
    signs_from     BIGINT NOT NULL
);

-- Locks -----------------------------------------------------------------------------------------------------------------

-- Whoever must count or compare before inserting takes the row of its name first; some engines have no other lock that
-- every instance sees.
CREATE TABLE locks (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY
);

INSERT INTO locks (name) VALUES ('dynamic clients'), ('signing keys');
