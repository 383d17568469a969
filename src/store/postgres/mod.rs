//! Everything in Postgres.
