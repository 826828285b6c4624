//! runup-diff-tree(1): lists what differs between two snapshots or trees.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::diff_tree::DiffTree>()
}
