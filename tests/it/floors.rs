//! Holds the source to the floors that `src/lib.rs` draws, and to a few rules of the house.

use std::path::{Path, PathBuf};

/// Each folder of `src` with the folders that it may import from, its own aside.
const FLOORS: [(&str, &[&str]); 10] = [
    ("base", &[]),
    ("format", &["base"]),
    ("os", &["base"]),
    ("source", &["os", "format", "base"]),
    ("target", &["os", "format", "base"]),
    ("backend", &["os", "base"]),
    ("store", &["backend", "format", "base"]),
    ("repository", &["store", "backend", "format", "base"]),
    ("ops", &["repository", "store", "backend", "source", "target", "os", "format", "base"]),
    ("cli", &["ops", "repository", "store", "backend", "source", "target", "os", "format", "base"]),
];

pub(crate) fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

pub(crate) fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The part of a file before its unit tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn floors_import_downwards_only() {
    let mut wrong = Vec::new();
    for (floor, below) in FLOORS {
        for (path, text) in sources(&src().join(floor)) {
            for line in
                without_tests(&text).lines().filter(|line| !line.trim_start().starts_with("//"))
            {
                for part in line.split("crate::").skip(1) {
                    let target: String = part
                        .chars()
                        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .collect();
                    let is_floor = FLOORS.iter().any(|(name, _)| *name == target);
                    if is_floor && target != floor && !below.contains(&target.as_str()) {
                        wrong.push(format!("{}: {}", path.display(), line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports from above:\n{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    for (path, text) in sources(&src()) {
        let first = text.lines().next().unwrap_or_default();
        let words = first.strip_prefix("//! ").map_or(0, |line| line.split_whitespace().count());
        assert!(words > 3, "{}: {first:?}", path.display());
    }
}

#[test]
fn only_the_command_line_reads_the_environment_and_the_clock() {
    for (floor, _) in FLOORS.iter().filter(|(floor, _)| *floor != "cli") {
        for (path, text) in sources(&src().join(floor)) {
            for word in ["env::var", "SystemTime::now", "Timestamp::now", "Zoned::now", "println!"]
            {
                assert!(!without_tests(&text).contains(word), "{} has {word}", path.display());
            }
        }
    }
}

#[test]
fn every_plumbing_command_has_a_program() {
    use runup::cli::{Layer, commands};
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join("bin");
    for command in commands::ALL {
        let program = bin.join(format!("runup-{}.rs", command.name));
        assert_eq!(program.exists(), command.layer == Layer::Plumbing, "{}", program.display());
    }
    let programs = std::fs::read_dir(&bin).unwrap().count();
    let plumbing = commands::ALL.iter().filter(|c| c.layer == Layer::Plumbing).count();
    assert_eq!(programs, plumbing + 1);
    commands::runup().debug_assert();
}
