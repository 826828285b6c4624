//! runup-cat-snapshot(1): print snapshots.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::cat_snapshot::CatSnapshot>()
}
