//! runup(1): backs up and restores; runs every plumbing command too.

fn main() -> std::process::ExitCode {
    runup::cli::commands::main()
}
