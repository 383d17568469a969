//! The world outside the rules: the system clock, OS entropy, keys, passwords. Implements `port`.
