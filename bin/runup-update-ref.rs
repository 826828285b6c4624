//! runup-update-ref(1): changes tags and pins, all at once or none.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::update_ref::UpdateRef>()
}
