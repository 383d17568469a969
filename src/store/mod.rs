//! Where things last: one backend per folder. `Stores::open` is the only match on a backend.
