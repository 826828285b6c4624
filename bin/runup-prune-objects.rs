//! runup-prune-objects(1): delete what neither jobs nor refs lead to.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::prune_objects::PruneObjects>()
}
