//! The `gateward` program: see [`gateward::cli`].

/// Requests make and drop some dozens of small things each, most of them on one thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    gateward::cli::main()
}
