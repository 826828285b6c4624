//! runup-import-archive(1): store a tar archive as a tree.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::import_archive::ImportArchive>()
}
