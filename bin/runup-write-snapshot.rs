//! runup-write-snapshot(1): publish a tree as a snapshot, in a job of its own.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::write_snapshot::WriteSnapshot>()
}
