//! Everything in Redis.
