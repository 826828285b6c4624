//! runup-check-ignore(1): tells which paths a backup leaves out, and which rule says so.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::check_ignore::CheckIgnore>()
}
