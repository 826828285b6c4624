//! runup-verify-pack(1): verify every byte of single packs.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::verify_pack::VerifyPack>()
}
