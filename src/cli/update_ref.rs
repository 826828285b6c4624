//! `runup update-ref`: tags and pins, changed all at once or not at all.

use std::ffi::OsString;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::output::Output;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::ops::update_ref::{Change, Expected, RefUpdate, update_refs};
use crate::repository::{RefTarget, Repository};

/// The word for a ref that must not be there.
const NONE: &str = "none";

/// Arguments of `runup update-ref`.
#[derive(Debug, clap::Args)]
pub struct UpdateRef {
    /// The ref: tag/NAME or pin/NAME
    #[arg(value_name = "NAME", required_unless_present = "stdin", conflicts_with = "stdin")]
    name: Option<String>,
    /// What it is to lead to
    #[arg(value_name = "REV", conflicts_with = "delete")]
    revision: Option<OsString>,
    /// Delete the ref, which must be there
    #[arg(short = 'd', long, conflicts_with = "stdin")]
    delete: bool,
    /// Only if the ref leads to this object now, or is not there
    #[arg(long, value_name = "ID|none", conflicts_with = "stdin")]
    old: Option<String>,
    /// Read a transaction from standard input: records with `action`, `name`, `id` and `old`, or
    /// create NAME REV, update NAME REV [OLD], delete NAME [OLD], verify NAME OLD
    #[arg(long)]
    stdin: bool,
    /// Items on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print bare ids of what refs lead to now
    #[arg(long)]
    plain: bool,
}

/// A ref that was changed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "changed-ref")]
struct Record {
    /// Its name.
    name: String,
    /// What it led to; null if it was not there.
    old: Option<Id>,
    /// What it leads to; null if it was deleted.
    id: Option<Id>,
    /// What that is.
    kind: Option<Kind>,
}

/// What an item on standard input says, as a record.
#[derive(Debug, Default, serde::Deserialize)]
struct Step {
    action: Option<String>,
    name: Option<String>,
    id: Option<String>,
    old: Option<String>,
}

impl Command for UpdateRef {
    const NAME: &'static str = "update-ref";
    const ABOUT: &'static str = "Change tags and pins, all at once or not at all";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Lets a tag or pin lead to an object, or deletes it. Both keep what they lead to, a snapshot
        or any other object; a tag is a name to find it by, and a pin is for what must not be
        forgotten. They are revisions: `tag/v1`, `pin/old:src`.

        With `--old` nothing is done unless the ref leads to that object now, or with `none` is not
        there. The exit code is 1 then.

        With `--stdin` all lines are one transaction: all of it is done, or nothing. Lines are
        `create NAME REV`, `update NAME REV`, `delete NAME` and `verify NAME OLD`, the second and
        third with an `OLD` behind where that is to be checked; or records with `action`, `name`,
        `id` and `old`, those of runup-for-each-ref(1) too. Each ref that was changed has a record.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("Pin a snapshot", "runup-update-ref pin/first app@1"),
        Example::new(
            "Move a tag, unless somebody else did",
            r#"old=$(runup-rev-parse --plain app@4)
runup-update-ref --old none tag/current app@4
runup-update-ref --old "$old" tag/current app"#,
        ),
        Example::new(
            "A tag that is there already",
            "echo create pin/first app | runup-update-ref --stdin",
        )
        .exits(Exit::Failed),
        Example::new(
            "Delete all tags at once",
            r#"runup-for-each-ref tag | jq -r '"delete \(.name) \(.id)"' |
  runup-update-ref --stdin"#,
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-for-each-ref(1)", "runup-rev-parse(1)", "runup-write-snapshot(1)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = globals.open_repository()?;
        let mut updates = Vec::new();
        match &self.name {
            Some(name) => updates.push(self.single(name, &repository)?),
            None => input::for_each_item(self.nul, |item| {
                updates.push(parse(item, &repository)?);
                Ok(())
            })?,
        }
        for changed in update_refs(&repository, &updates)? {
            let record = Record {
                name: changed.name,
                old: changed.old,
                id: changed.new.map(|target| target.id),
                kind: changed.new.map(|target| target.kind),
            };
            match record.id {
                _ if !self.plain => output.record(&record, self.nul)?,
                Some(id) => {
                    output.bytes(id.to_hex().as_bytes())?;
                    output.bytes(if self.nul { b"\0" } else { b"\n" })?;
                }
                None => {}
            }
        }
        Ok(Exit::Done)
    }
}

impl UpdateRef {
    fn single(&self, name: &str, repository: &Repository) -> Result<RefUpdate, Failure> {
        let action = if self.delete { "delete" } else { "update" };
        let revision = self.revision.as_ref().map(|revision| revision.as_encoded_bytes());
        update(action, name, revision, self.old.as_deref(), repository)
    }
}

fn parse(item: &[u8], repository: &Repository) -> Result<RefUpdate, Failure> {
    if input::is_record(item) {
        let Step { action, name, id, old } = input::record(item)?;
        let lacks = |what| Failure::usage(format!("a record of a ref without `{what}`"));
        let name = name.ok_or_else(|| lacks("name"))?;
        if action.is_none() && id.is_none() {
            return Err(lacks("id"));
        }
        let action = action.as_deref().unwrap_or("update");
        return update(
            action,
            &name,
            id.as_ref().map(String::as_bytes),
            old.as_deref(),
            repository,
        );
    }
    let mut words = item.splitn(3, |byte| *byte == b' ');
    let action = String::from_utf8_lossy(words.next().unwrap_or_default());
    let name = String::from_utf8_lossy(words.next().unwrap_or_default());
    let rest = words.next();
    let (revision, old) = match &*action {
        "create" => (rest, None),
        "update" => rest.map_or((None, None), split_old),
        _ => (None, rest),
    };
    let old = old.map(String::from_utf8_lossy);
    update(&action, &name, revision, old.as_deref(), repository)
}

/// A revision, in which there may be spaces, and the old value behind it, if there is one.
fn split_old(text: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let is_old = |word: &[u8]| {
        word == NONE.as_bytes() || str::from_utf8(word).is_ok_and(|word| word.parse::<Id>().is_ok())
    };
    match text.iter().rposition(|byte| *byte == b' ') {
        Some(at) if is_old(&text[at + 1..]) => (Some(&text[..at]), Some(&text[at + 1..])),
        _ => (Some(text), None),
    }
}

fn update(
    action: &str,
    name: &str,
    revision: Option<&[u8]>,
    old: Option<&str>,
    repository: &Repository,
) -> Result<RefUpdate, Failure> {
    let wrong = |what: &str| Failure::usage(format!("{action} {name}: {what}"));
    let target = || -> Result<Change, Failure> {
        let revision = revision.ok_or_else(|| wrong("no revision to lead to"))?;
        let found = repository.resolve(revision, &zone())?;
        Ok(Change::Set(RefTarget { id: found.id, kind: found.kind }))
    };
    let old = match old {
        None => None,
        Some(NONE) => Some(Expected::Absent),
        Some(id) => match id.parse() {
            Ok(id) => Some(Expected::Is(id)),
            Err(_) => return Err(wrong("the old value is a whole id, or none")),
        },
    };
    let (expected, change) = match (action, old) {
        ("create", None | Some(Expected::Absent)) => (Expected::Absent, target()?),
        ("create", _) => return Err(wrong("what is created has no old value")),
        ("update", old) => (old.unwrap_or(Expected::Any), target()?),
        ("delete", Some(Expected::Absent)) => return Err(wrong("it cannot be deleted if absent")),
        ("delete", old) => (old.unwrap_or(Expected::Present), Change::Delete),
        ("verify", Some(old)) => (old, Change::Verify),
        ("verify", None) => return Err(wrong("no old value to compare with")),
        _ => return Err(wrong("the actions are create, update, delete and verify")),
    };
    Ok(RefUpdate { name: name.to_owned(), expected, change })
}
