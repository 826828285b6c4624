//! `runup rev-list`: snapshots, and all the objects that they reach.

use std::collections::BTreeMap;
use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::json::PathText;
use super::output::{Output, write_record};
use super::rendering::print_all;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::ops::closure::Reached;
use crate::ops::rev_list::{
    ListRoot, ListedObject, RevListOptions, live_roots, other_roots, rev_list, sort_roots,
};
use crate::repository::Repository;
use crate::store::Found;

/// What is done about an object that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Missing {
    /// Fail
    Error,
    /// Print it, and go on
    Print,
}

/// Arguments of `runup rev-list`.
#[derive(Debug, clap::Args)]
pub struct RevList {
    /// Snapshots, trees or blobs; ^REV is --not REV
    #[arg(value_name = "REV", required_unless_present_any = ["all", "stdin"])]
    revisions: Vec<OsString>,
    /// Every live snapshot
    #[arg(long)]
    all: bool,
    /// Leave out what these reach
    #[arg(long = "not", value_name = "REV", num_args = 1..)]
    unwanted: Vec<OsString>,
    /// Leave out what any other live snapshot reaches, or a tag or pin
    #[arg(long)]
    exclusive: bool,
    /// List all that the revisions reach, not only themselves
    #[arg(long)]
    objects: bool,
    /// Print only how much the objects take, by kind
    #[arg(long, conflicts_with = "count")]
    disk_usage: bool,
    /// Print only how many there are
    #[arg(long)]
    count: bool,
    /// What to do about an object that is missing
    #[arg(long, value_name = "ACTION", default_value = "error")]
    missing: Missing,
    /// Read more revisions from standard input
    #[arg(long)]
    stdin: bool,
    /// Revisions on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print bare ids, with `?` before those that are missing; with --disk-usage, bytes stored
    #[arg(long)]
    plain: bool,
}

/// An object that was reached. What is not known of it is null.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "reached-object")]
struct Record<'a> {
    /// The object.
    id: Id,
    /// What it is.
    kind: Kind,
    /// found, or missing.
    status: &'static str,
    /// The first path that led to it, empty for a root; null for chunks, pages and links.
    path: Option<String>,
    /// The exact path, base64, where it is not UTF-8.
    path_b64: Option<String>,
    /// The snapshot that it was first reached from.
    snapshot: Option<Id>,
    /// The project of that snapshot.
    project: Option<&'a str>,
    /// The job of that snapshot.
    job: Option<u64>,
    /// Whether a list of its chunks is stored in place of its bytes.
    is_list: Option<bool>,
    /// Its bytes as they are stored, uncompressed; of a list, those of the list.
    size_bytes: Option<u64>,
    /// Bytes that it takes.
    stored_bytes: Option<u64>,
    /// The pack that holds it; null for a loose object.
    pack: Option<Id>,
}

/// How many objects were reached.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "reached-count")]
struct CountRecord {
    /// The objects.
    count: u64,
}

/// Figures of several objects.
#[derive(Debug, Clone, Copy, Default, Serialize, JsonSchema)]
#[schemars(rename = "usage")]
struct Usage {
    /// The objects.
    count: u64,
    /// Of those, ones that are not stored.
    missing: u64,
    /// Their bytes as they are stored, uncompressed.
    size_bytes: u64,
    /// Bytes that they take.
    stored_bytes: u64,
}

/// What the objects take that were reached.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "disk-usage")]
struct UsageRecord {
    #[serde(flatten)]
    total: Usage,
    /// The same for each kind.
    kinds: BTreeMap<&'static str, Usage>,
}

impl Command for RevList {
    const NAME: &'static str = "rev-list";
    const ABOUT: &'static str = "List snapshots, and the objects that they reach";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] =
        &[Shape::of::<Record<'_>>(), Shape::of::<CountRecord>(), Shape::of::<UsageRecord>()];

    const DESCRIPTION: &'static str = "
        Prints the snapshots, trees and files that the revisions mean, newest job first; with
        `--objects` every object that they refer to, each once, with its kind, the first path that
        led to it, and what it takes. Chunks of long files and pages of lists have no path.

        `--not` leaves out what its revisions reach, `--exclusive` what any other snapshot, or a tag
        or pin reaches: what would be freed if these snapshots went. `--disk-usage` prints sums by kind instead.

        Revisions on standard input are bare, or in records of other programs; `^REV` is one for
        `--not`. An object that is missing ends the program with 4, unless `--missing=print` makes
        it a record like any other.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("What a project takes", "runup-rev-list --disk-usage app@1 app"),
        Example::new(
            "What only job 3 holds",
            "runup-rev-list --objects --exclusive notes@3 | jq -r .path",
        ),
        Example::new(
            "What job 5 added to job 4",
            "runup-rev-list --objects --plain app@5 --not app@4",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-cat-object(1)", "runup-diff-tree(1)", "runup-ls-snapshots(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let _session = repository.read_session()?;
        let (wanted, unwanted) = self.roots(&repository)?;
        let options = RevListOptions {
            // Nobody asks for the space that the snapshots' own records take.
            objects: self.objects || self.disk_usage,
            goes_on: self.missing == Missing::Print,
        };
        let mut usage: BTreeMap<Kind, Usage> = BTreeMap::new();
        let list = |each: &mut dyn FnMut(&ListedObject<'_>) -> Result<(), Failure>| {
            rev_list(repository.store(), &wanted, &unwanted, options, each)
        };
        if self.disk_usage || self.count {
            list(&mut |object| {
                usage.entry(object.reached.kind).or_default().add(object);
                Ok(())
            })?;
            self.print_usage(&usage, output)?;
            return Ok(Exit::Done);
        }
        let render = |item: &Item, text: &mut Vec<u8>| {
            wanted.get(item.root).map_or(Ok(()), |root| Ok(self.write(root, item, text)?))
        };
        print_all(output, &render, |take| {
            let mut root = 0;
            list(&mut |object| {
                // Roots come in their order.
                root += wanted.iter().skip(root).take_while(|at| at.id != object.root.id).count();
                take(Item::new(root, object))
            })
        })?;
        Ok(Exit::Done)
    }
}

/// An object that was reached, until it is printed.
struct Item {
    /// Which of the roots led to it.
    root: usize,
    id: Id,
    kind: Kind,
    path: Option<Vec<u8>>,
    found: Option<Found>,
}

impl Item {
    fn new(root: usize, object: &ListedObject<'_>) -> Self {
        let Reached { id, kind, path } = object.reached;
        Self { root, id, kind, path: path.map(<[u8]>::to_vec), found: object.found.cloned() }
    }
}

impl RevList {
    /// Where the listing begins, and what it leaves out.
    fn roots(&self, repository: &Repository) -> Result<(Vec<ListRoot>, Vec<ListRoot>), Failure> {
        let live = live_roots(repository)?;
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        let mut add = |revision: &[u8], is_wanted: bool| {
            let (revision, is_wanted) = match revision.strip_prefix(b"^") {
                Some(rest) => (rest, false),
                None => (revision, is_wanted),
            };
            let root = root(repository, revision, &live)?;
            let roots = if is_wanted { &mut wanted } else { &mut unwanted };
            roots.push(root);
            Ok(())
        };
        for revision in &self.revisions {
            add(revision.as_encoded_bytes(), true)?;
        }
        for revision in &self.unwanted {
            add(revision.as_encoded_bytes(), false)?;
        }
        if self.stdin {
            input::for_each_item(self.nul, |item| match input::sound_object(item)? {
                Some(revision) => add(&revision, true),
                // A link or device reaches nothing.
                None => Ok(()),
            })?;
        }
        if self.all {
            wanted.extend_from_slice(&live);
        }
        sort_roots(&mut wanted);
        if self.exclusive {
            unwanted.extend(other_roots(live, &wanted));
        }
        Ok((wanted, unwanted))
    }

    fn write(&self, root: &ListRoot, item: &Item, text: &mut Vec<u8>) -> std::io::Result<()> {
        let Item { id, kind, found, .. } = item;
        if self.plain {
            text.extend_from_slice(if found.is_some() { b"" } else { b"?" });
            text.extend_from_slice(&id.digits());
            text.push(if self.nul { b'\0' } else { b'\n' });
            return Ok(());
        }
        let found = found.as_ref();
        let path = item.path.as_deref().map(PathText::new);
        let record = Record {
            id: *id,
            kind: *kind,
            status: if found.is_some() { "found" } else { "missing" },
            path: path.as_ref().map(|path| path.path.clone()),
            path_b64: path.and_then(|path| path.path_b64),
            snapshot: root.snapshot,
            project: root.project.as_deref(),
            job: root.job,
            is_list: found.map(|found| found.is_list),
            size_bytes: found.map(|found| found.length_bytes),
            stored_bytes: found.map(|found| found.stored_bytes),
            pack: found.and_then(|found| found.pack).map(|place| place.pack.name),
        };
        write_record(text, &record, self.nul)
    }

    fn print_usage(
        &self,
        usage: &BTreeMap<Kind, Usage>,
        output: &mut Output,
    ) -> std::io::Result<()> {
        let of = |kind: Kind| (kind.word(), usage.get(&kind).copied().unwrap_or_default());
        let kinds: BTreeMap<_, _> = Kind::ALL.into_iter().map(of).collect();
        let total = kinds.values().copied().fold(Usage::default(), Usage::and);
        if self.plain {
            let number = if self.count { total.count } else { total.stored_bytes };
            output.bytes(number.to_string().as_bytes())?;
            return output.bytes(if self.nul { b"\0" } else { b"\n" });
        }
        match self.count {
            true => output.record(&CountRecord { count: total.count }, self.nul),
            false => output.record(&UsageRecord { total, kinds }, self.nul),
        }
    }
}

impl Usage {
    fn add(&mut self, object: &ListedObject<'_>) {
        let one = match object.found {
            Some(found) => Self {
                count: 1,
                missing: 0,
                size_bytes: found.length_bytes,
                stored_bytes: found.stored_bytes,
            },
            None => Self { count: 1, missing: 1, ..Self::default() },
        };
        *self = self.and(one);
    }

    fn and(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            missing: self.missing + other.missing,
            size_bytes: self.size_bytes.saturating_add(other.size_bytes),
            stored_bytes: self.stored_bytes.saturating_add(other.stored_bytes),
        }
    }
}

fn root(repository: &Repository, revision: &[u8], live: &[ListRoot]) -> Result<ListRoot, Failure> {
    let resolved = repository.resolve(revision, &zone())?;
    match resolved.kind {
        Kind::Snapshot | Kind::Tree | Kind::Blob => Ok(ListRoot::new(resolved, live)),
        other => {
            let revision = String::from_utf8_lossy(revision);
            let message = format!("{revision:?} is a {other}, not a snapshot, tree or blob");
            Err(Failure::usage(message))
        }
    }
}
