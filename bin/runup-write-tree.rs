//! runup-write-tree(1): store a directory as a tree.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::write_tree::WriteTree>()
}
