//! `runup ls-tree`: the entries of a tree.

use std::ffi::OsString;
use std::io::Write;

use super::entry::{EntryRecord, Surroundings};
use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, write_line, write_record};
use super::rendering::print_all;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::path::components;
use crate::format::tree::{Entry, Node};
use crate::ops::ls_tree::{Listing, ls_tree};
use crate::repository::{Repository, Resolved};

/// How entries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One JSON record each
    Json,
    /// Files only, as `b3sum` prints them and `b3sum -c` reads them
    B3sum,
}

/// Arguments of `runup ls-tree`.
#[derive(Debug, clap::Args)]
pub struct LsTree {
    /// A snapshot or tree
    #[arg(value_name = "REV")]
    revision: OsString,
    /// Only these paths; a directory stands for what is in it
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Go down into directories
    #[arg(short = 'r')]
    recursive: bool,
    /// Only directories
    #[arg(short = 'd')]
    directories: bool,
    /// With -r, directories too
    #[arg(short = 't')]
    trees: bool,
    /// End records with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print paths only
    #[arg(long)]
    name_only: bool,
    /// How to print entries
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: Format,
    /// Print bare ids, of entries that have one
    #[arg(long)]
    plain: bool,
}

impl Command for LsTree {
    const NAME: &'static str = "ls-tree";
    const ABOUT: &'static str = "List the entries of a snapshot or tree";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<EntryRecord>()];

    const DESCRIPTION: &'static str = "
        Prints the entries of a directory of a snapshot, in the order of names and each directory
        before what is in it, as one record each: all that the tree says of it, with the names of
        its owner and group and a `link_group` for paths that share an inode, where the snapshot
        knows them. Paths are those below what `REV` leads to, `main.c` in `app:src`.

        Each `PATH` chooses a file, or what is in a directory; with `-d` or `-t` also the directory
        itself. One that is not there makes the exit code 2.

        `--format=b3sum` prints files only, each as b3sum(1) prints it and reads it with `-c`.
        `--name-only` prints paths as they are; only with `-z` can those with a line end be told
        apart. `--plain` prints the ids of files and directories.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "Verify files against the latest snapshot",
            "runup-ls-tree -r --format=b3sum app | b3sum -c",
        ),
        Example::new(
            "The files of job 1 by size",
            "runup-ls-tree -r app@1 |
  jq -r '[.size_bytes, .path] | @tsv' | sort -n",
        ),
        Example::new(
            "What was in a directory as of job 2",
            "runup-ls-tree --name-only notes@2 notes",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["b3sum(1)", "runup-cat-object(1)", "runup-checkout(1)", "runup-write-tree(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let resolved = repository.resolve(self.revision.as_encoded_bytes(), &zone())?;
        let tree = tree_of_resolved(&repository, &resolved, &self.revision)?;
        let surroundings = match resolved.snapshot.filter(|_| self.prints_records()) {
            Some(snapshot) => Surroundings::of(&repository, &snapshot, resolved.path)?,
            None => Surroundings::default(),
        };
        let listing = Listing {
            paths: tree_paths(&self.paths)?,
            recursive: self.recursive,
            directories: self.directories,
            trees: self.trees,
        };
        let mut is_found = vec![false; listing.paths.len()];
        let is_shown = output.is_terminal() && !self.nul;
        let render = |(path, entry): &(Vec<u8>, Entry), text: &mut Vec<u8>| {
            Ok(self.write(path, entry, &surroundings, is_shown, text)?)
        };
        print_all(output, &render, |take| {
            ls_tree::<Failure>(repository.store(), &tree, &mut |path, entry| {
                for (wanted, is_found) in listing.paths.iter().zip(&mut is_found) {
                    *is_found |= path == wanted.as_slice();
                }
                if listing.lists(path, entry.is_directory()) {
                    take((path.to_vec(), entry.clone()))?;
                }
                Ok(listing.leads_into(path))
            })
        })?;
        match is_found.iter().position(|found| !found) {
            Some(missing) => Err(Failure::new(
                Exit::Usage,
                "no_such_path",
                format!("no {:?} in {:?}", self.paths[missing], self.revision),
            )),
            None => Ok(Exit::Done),
        }
    }
}

/// The tree that a revision leads to.
pub(super) fn tree_of(repository: &Repository, revision: &OsString) -> Result<Id, Failure> {
    let resolved = repository.resolve(revision.as_encoded_bytes(), &zone())?;
    tree_of_resolved(repository, &resolved, revision)
}

fn tree_of_resolved(
    repository: &Repository,
    resolved: &Resolved,
    revision: &OsString,
) -> Result<Id, Failure> {
    match resolved.kind {
        Kind::Snapshot => Ok(repository.snapshot(&resolved.id)?.root.tree),
        Kind::Tree => Ok(resolved.id),
        other => Err(Failure::usage(format!("{revision:?} is a {other}, not a snapshot or tree"))),
    }
}

/// Paths inside a tree, as they are given to a command.
pub(super) fn tree_paths(paths: &[OsString]) -> Result<Vec<Vec<u8>>, Failure> {
    let normalised = |path: &OsString| {
        let parts = components(path.as_encoded_bytes())
            .ok_or_else(|| Failure::usage(format!("{path:?} is no path inside a tree")))?;
        Ok(parts.join(&b'/'))
    };
    paths.iter().map(normalised).collect()
}

impl LsTree {
    fn prints_records(&self) -> bool {
        !self.name_only && !self.plain && self.format == Format::Json
    }

    fn write(
        &self,
        path: &[u8],
        entry: &Entry,
        surroundings: &Surroundings,
        is_shown: bool,
        text: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let end: &[u8] = if self.nul { b"\0" } else { b"\n" };
        if self.name_only && is_shown {
            return write_line(text, path, is_shown);
        }
        if self.name_only {
            text.extend_from_slice(&super::input::bare_path(path));
            text.extend_from_slice(end);
            return Ok(());
        }
        if self.format == Format::B3sum {
            let Node::File { id, .. } = &entry.node else { return Ok(()) };
            let line = b3sum_line(&id.to_hex(), path, self.nul);
            return match is_shown {
                true => write_line(text, line.strip_suffix(b"\n").unwrap_or(&line), is_shown),
                false => text.write_all(&line),
            };
        }
        if self.plain {
            if let Node::File { id, .. } | Node::Directory { tree: id } = &entry.node {
                text.extend_from_slice(&id.digits());
                text.extend_from_slice(end);
            }
            return Ok(());
        }
        let mut record = EntryRecord::new(path, entry);
        surroundings.complete(path, &mut record);
        write_record(text, &record, self.nul)
    }
}

/// A line as `b3sum` prints it: names with a backslash or a line end are escaped, and said to be.
fn b3sum_line(digits: &str, path: &[u8], ends_with_nul: bool) -> Vec<u8> {
    let is_escaped =
        !ends_with_nul && path.iter().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r'));
    let mut line = Vec::with_capacity(path.len() + 70);
    if is_escaped {
        line.push(b'\\');
    }
    line.extend_from_slice(digits.as_bytes());
    line.extend_from_slice(b"  ");
    for byte in path {
        match byte {
            b'\\' if is_escaped => line.extend_from_slice(b"\\\\"),
            b'\n' if is_escaped => line.extend_from_slice(b"\\n"),
            b'\r' if is_escaped => line.extend_from_slice(b"\\r"),
            other => line.push(*other),
        }
    }
    line.push(if ends_with_nul { 0 } else { b'\n' });
    line
}
