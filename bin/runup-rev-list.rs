//! runup-rev-list(1): lists snapshots, and the objects that they reach.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::rev_list::RevList>()
}
