//! runup-fsck(1): read and verify everything stored.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::fsck::Fsck>()
}
