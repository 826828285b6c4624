//! runup-ls-tree(1): list the entries of a snapshot or tree.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::ls_tree::LsTree>()
}
