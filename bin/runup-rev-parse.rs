//! runup-rev-parse(1): find what revisions mean.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::rev_parse::RevParse>()
}
