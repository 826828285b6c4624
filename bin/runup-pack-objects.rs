//! runup-pack-objects(1): store loose objects, or named ones, in new packs.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::pack_objects::PackObjects>()
}
