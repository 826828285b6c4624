//! runup-index-pack(1): rebuild index segments from packs alone.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::index_pack::IndexPack>()
}
