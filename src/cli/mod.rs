//! The command line: one verb per file. The only place that knows everything.
