//! runup-ls-projects(1): lists the projects of runup.yaml and of the repository.

fn main() -> std::process::ExitCode {
    runup::cli::main::<runup::cli::ls_projects::LsProjects>()
}
