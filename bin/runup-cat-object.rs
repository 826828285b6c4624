//! runup-cat-object(1): print objects, or what is known of them.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::cat_object::CatObject>()
}
