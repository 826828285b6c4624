//! runup-session(1): runs a pipeline in one session.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::session::Session>()
}
