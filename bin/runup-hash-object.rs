//! runup-hash-object(1): compute the ids of files, and store them.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::hash_object::HashObject>()
}
