//! `runup diff-tree`: what differs between two trees.

use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;

use super::entry::{EntryRecord, Surroundings};
use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input::bare_path;
use super::ls_tree::{tree_of, tree_paths};
use super::output::{Output, write_record};
use super::rendering::print_all;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::format::tree::Entry;
use crate::ops::diff_tree::{Change, DiffOptions, Status, diff_tree};
use crate::ops::ls_tree::{Listing, has_path};
use crate::repository::Repository;

/// Arguments of `runup diff-tree`.
#[derive(Debug, clap::Args)]
pub struct DiffTree {
    /// A snapshot or tree
    #[arg(value_name = "OLD")]
    old: OsString,
    /// The one to compare it with; none with --root
    #[arg(value_name = "NEW", required_unless_present = "root")]
    new: Option<OsString>,
    /// Only these paths; a directory stands for what is in it
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Compare the empty tree with the one revision given
    #[arg(long)]
    root: bool,
    /// Go down into directories
    #[arg(short = 'r')]
    recursive: bool,
    /// With -r, directories too
    #[arg(short = 't')]
    trees: bool,
    /// Do not look for content that moved
    #[arg(long)]
    no_renames: bool,
    /// End with 1 if there are differences
    #[arg(long)]
    exit_code: bool,
    /// End records, and with --plain fields, with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print paths only
    #[arg(long)]
    name_only: bool,
    /// Print a letter (A, D, M, R or T), a tab and the path; of a rename, the old path and the new
    #[arg(long)]
    plain: bool,
}

/// A change; the fields of the entry are those of its new state, unless it was removed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "change")]
struct Record {
    /// added, removed, modified, renamed, or `type_changed`.
    status: &'static str,
    #[serde(flatten)]
    entry: EntryRecord,
    /// What differs: content, mode, owner, mtime, xattrs, target, device, name. Of a directory,
    /// content is its tree. Empty for what was added or removed.
    changed: Vec<&'static str>,
    /// The entry in its old state; null for what was added.
    old: Option<EntryRecord>,
}

impl Command for DiffTree {
    const NAME: &'static str = "diff-tree";
    const ABOUT: &'static str = "List what differs between two snapshots or trees";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Prints what must be done to the first of two trees to get the second, as a record for each
        path, in the order of paths: added, removed, modified, type_changed, or renamed where the
        same content stood at another path. Each record has the entry as it is now, as
        runup-ls-tree(1) prints it, what of it `changed`, and the `old` entry.

        Trees that are equal have one id and are not looked into, so the cost is that of the
        difference. Only entries that were added or removed are held in memory, to find renames;
        `--no-renames` holds none.

        Without `-r` a directory is one entry. With it, what is in it is compared, and directories
        themselves are told with `-t` only.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("What the last job changed", "runup-diff-tree -r --plain app~ app"),
        Example::new(
            "Names that moved",
            r#"runup-diff-tree -r app@1 app |
  jq -r 'select(.status == "renamed") | [.old.path, .path] | @tsv'"#,
        ),
        Example::new(
            "Whether anything changed, which it did",
            "runup-diff-tree --exit-code --name-only app@1 app",
        )
        .exits(Exit::Failed),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-ls-tree(1)", "runup-mktree(1)"];
    const EXITS: &'static [Exit] = Exit::ANSWERING;

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let compared = globals.open_repository();
        let compared = compared.and_then(|repository| self.compare(&repository, output));
        match compared {
            Ok(differs) if differs && self.exit_code => Ok(Exit::Failed),
            Ok(_) => Ok(Exit::Done),
            // With --exit-code, 1 is an answer.
            Err(failure) if failure.exit == Exit::Failed && self.exit_code => {
                Err(Failure { exit: Exit::Unanswered, ..failure })
            }
            Err(failure) => Err(failure),
        }
    }
}

impl DiffTree {
    /// Prints all differences; whether there are any.
    fn compare(&self, repository: &Repository, output: &mut Output) -> Result<bool, Failure> {
        let (old, new, paths) = self.arguments();
        let old_side = self.surroundings(repository, old)?;
        let new_side = self.surroundings(repository, Some(new))?;
        let old = old.map(|revision| tree_of(repository, revision)).transpose()?;
        let new = tree_of(repository, new)?;
        let options = DiffOptions {
            listing: Listing {
                paths: tree_paths(&paths)?,
                recursive: self.recursive,
                directories: false,
                trees: self.trees,
            },
            finds_renames: !self.no_renames,
        };
        check_paths(repository, old.as_ref(), &new, &options.listing.paths)?;
        let mut differs = false;
        let render = |difference: &Difference, text: &mut Vec<u8>| {
            Ok(self.write(&difference.change(), (&old_side, &new_side), text)?)
        };
        print_all(output, &render, |take| {
            diff_tree(repository.store(), old.as_ref(), Some(&new), &options, &mut |change| {
                differs = true;
                take(Difference::new(change))
            })
        })?;
        Ok(differs)
    }

    /// What the snapshot of a revision knows of its entries, if records are printed.
    fn surroundings(
        &self,
        repository: &Repository,
        revision: Option<&OsString>,
    ) -> Result<Surroundings, Failure> {
        let Some(revision) = revision.filter(|_| !self.name_only && !self.plain) else {
            return Ok(Surroundings::default());
        };
        let resolved = repository.resolve(revision.as_encoded_bytes(), &zone())?;
        match resolved.snapshot {
            Some(snapshot) => Surroundings::of(repository, &snapshot, resolved.path),
            None => Ok(Surroundings::default()),
        }
    }

    /// The old revision, the new one, and the paths.
    fn arguments(&self) -> (Option<&OsString>, &OsString, Vec<OsString>) {
        match &self.new {
            Some(new) if !self.root => (Some(&self.old), new, self.paths.clone()),
            first => (None, &self.old, first.iter().chain(&self.paths).cloned().collect()),
        }
    }

    fn write(
        &self,
        change: &Change<'_>,
        (old_side, new_side): (&Surroundings, &Surroundings),
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        let (word, letter) = match change.status() {
            Status::Added => ("added", b"A"),
            Status::Removed => ("removed", b"D"),
            Status::Modified => ("modified", b"M"),
            Status::Renamed => ("renamed", b"R"),
            Status::TypeChanged => ("type_changed", b"T"),
        };
        let end: &[u8] = if self.nul { b"\0" } else { b"\n" };
        if self.name_only || self.plain {
            let old_path = change.old.map(|(path, _)| path).filter(|path| *path != change.path);
            let fields = [Some(&letter[..]), old_path, Some(change.path)];
            let fields: Vec<&[u8]> = fields.into_iter().flatten().collect();
            let separator: &[u8] = if self.nul { b"\0" } else { b"\t" };
            let text = if self.name_only {
                bare_path(change.path).into_owned()
            } else {
                fields.join(separator)
            };
            out.extend_from_slice(&text);
            out.extend_from_slice(end);
            return Ok(());
        }
        let of = |path: &[u8], entry: &Entry, surroundings: &Surroundings| {
            let mut record = EntryRecord::new(path, entry);
            surroundings.complete(path, &mut record);
            record
        };
        let old = || change.old.map(|(path, entry)| of(path, entry, old_side));
        let new = change.new.map(|entry| of(change.path, entry, new_side));
        // A change has at least one side.
        let entry = new.or_else(old).unwrap_or_default();
        let record = Record { status: word, entry, changed: change.aspects(), old: old() };
        write_record(out, &record, self.nul)
    }
}

/// A change, until it is printed.
struct Difference {
    path: Vec<u8>,
    old: Option<(Vec<u8>, Entry)>,
    new: Option<Entry>,
}

impl Difference {
    fn new(change: &Change<'_>) -> Self {
        let old = change.old.map(|(path, entry)| (path.to_vec(), entry.clone()));
        Self { path: change.path.to_vec(), old, new: change.new.cloned() }
    }

    fn change(&self) -> Change<'_> {
        let old = self.old.as_ref().map(|(path, entry)| (path.as_slice(), entry));
        Change { path: &self.path, old, new: self.new.as_ref() }
    }
}

/// Refuses paths that stand in neither tree.
fn check_paths(
    repository: &Repository,
    old: Option<&Id>,
    new: &Id,
    paths: &[Vec<u8>],
) -> Result<(), Failure> {
    for path in paths {
        let mut is_found = has_path(repository.store(), new, path)?;
        if let Some(old) = old.filter(|_| !is_found) {
            is_found = has_path(repository.store(), old, path)?;
        }
        if !is_found {
            let path = String::from_utf8_lossy(path);
            let message = format!("no {path:?} in what is compared");
            return Err(Failure::new(Exit::Usage, "no_such_path", message));
        }
    }
    Ok(())
}
