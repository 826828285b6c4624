//! runup-checkout(1): write the files of a snapshot or tree to a directory.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::checkout::Checkout>()
}
