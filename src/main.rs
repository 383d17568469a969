//! The `gateward` program: see [`gateward::cli`].

fn main() -> std::process::ExitCode {
    gateward::cli::main()
}
