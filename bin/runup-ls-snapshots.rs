//! runup-ls-snapshots(1): list snapshots, oldest job first.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::ls_snapshots::LsSnapshots>()
}
