//! A place of its own for each test: a directory, and programs run with everything pinned.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a context in it, and a pinned environment for programs run there.
pub(crate) struct Sandbox {
    folder: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A sandbox in a directory.
    pub(crate) fn within(directory: &Path) -> Self {
        let folder = tempfile::tempdir_in(directory).unwrap();
        std::fs::create_dir(folder.path().join("context")).unwrap();
        Self { folder }
    }

    /// A sandbox with this project file and an empty repository.
    pub(crate) fn with_projects(projects: &str) -> Self {
        let sandbox = Self::new();
        sandbox.write("runup.yaml", format!("version: '1'\nproject:\n{projects}").as_bytes());
        sandbox.run("runup init").succeeds();
        sandbox
    }

    /// The context directory.
    pub(crate) fn context(&self) -> PathBuf {
        self.folder.path().join("context")
    }

    /// A path in the context.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.context().join(name)
    }

    /// Writes a file in the context, with the directories above it.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    /// A shell in the context, with the programs on its path and a pinned environment.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        let programs = Path::new(env!("CARGO_BIN_EXE_runup")).parent().unwrap();
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        command
            .args(["-e", "-c", script])
            .current_dir(self.context())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("RUNUP_CACHE_DIR", self.folder.path().join("cache"))
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Runs a script in the context to its end.
    pub(crate) fn run(&self, script: &str) -> Ran {
        Ran { script: script.to_owned(), output: self.shell(script).output().unwrap() }
    }

    /// All that can be seen of a directory: names, bytes, links, metadata, which names share an
    /// inode.
    pub(crate) fn look(&self, name: &str) -> Vec<String> {
        look_at(&self.path(name))
    }
}

/// The same of a directory anywhere.
pub(crate) fn look_at(directory: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inodes = Vec::new();
    look(directory, Path::new(""), &mut lines, &mut inodes);
    lines
}

fn look(root: &Path, below: &Path, lines: &mut Vec<String>, inodes: &mut Vec<(u64, PathBuf)>) {
    use std::os::unix::fs::MetadataExt;
    let mut names: Vec<_> =
        std::fs::read_dir(root.join(below)).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let path = below.join(name);
        let full = root.join(&path);
        let status = full.symlink_metadata().unwrap();
        let first = inodes.iter().find(|(ino, _)| *ino == status.ino() && status.nlink() > 1);
        let first = first.map(|(_, path)| path.clone());
        inodes.push((status.ino(), path.clone()));
        let content = if status.is_file() {
            blake3::hash(&std::fs::read(&full).unwrap()).to_hex().to_string()
        } else if status.is_symlink() {
            format!("{:?}", std::fs::read_link(&full).unwrap())
        } else {
            String::new()
        };
        lines.push(format!(
            "{} {:o} {}:{} {}.{:09} {content} {first:?}",
            path.as_os_str().as_bytes().escape_ascii(),
            status.mode(),
            status.uid(),
            status.gid(),
            status.mtime(),
            status.mtime_nsec(),
        ));
        if status.is_dir() {
            look(root, &path, lines, inodes);
        }
    }
}

/// A script that has run.
pub(crate) struct Ran {
    script: String,
    output: Output,
}

impl Ran {
    /// Asserts the exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        let Output { status, stdout, stderr } = &self.output;
        assert_eq!(
            status.code(),
            Some(code),
            "{}\n{}{}",
            self.script,
            String::from_utf8_lossy(stdout),
            String::from_utf8_lossy(stderr)
        );
        self
    }

    pub(crate) fn succeeds(self) -> Self {
        self.exits(0)
    }

    /// The exit code, where it is a question.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// The first JSON record on standard output.
    pub(crate) fn record(&self) -> Value {
        let text = self.stdout();
        serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap()
    }

    /// All JSON records on standard output.
    pub(crate) fn records(&self) -> Vec<Value> {
        records(&self.stdout())
    }
}

/// JSON records, one a line.
pub(crate) fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Bytes that neither shrink nor recur, the same ones for the same seed.
pub(crate) fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}
