//! runup-count-objects(1): count what is stored.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::count_objects::CountObjects>()
}
