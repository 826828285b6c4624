//! runup-mktree(1): makes a tree of records of its entries.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::mktree::Mktree>()
}
