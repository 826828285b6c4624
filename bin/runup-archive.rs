//! runup-archive(1): write a snapshot or tree as a tar archive to standard output.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::archive::Archive>()
}
