//! The gateway: an authenticating reverse proxy for MCP servers that know nothing of OAuth.

mod headers;
