//! One use case per file, async and free of HTTP.
