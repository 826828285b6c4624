//! runup-for-each-ref(1): lists tags, pins and the latest snapshot of each project.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::for_each_ref::ForEachRef>()
}
