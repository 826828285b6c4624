//! `runup cat-object`: ids to bytes, or to what is known of them.

mod all;

use std::ffi::OsString;
use std::io;
use std::sync::atomic::AtomicBool;

use schemars::JsonSchema;
use serde::Serialize;

use self::all::{All, Item};
use super::environment::{Globals, now, zone};
use super::exit::Exit;
use super::failure::Failure;
use super::input;
use super::output::Output;
use super::rendering::print_all;
use super::{Command, Example, Layer, Shape};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::base::zeros::zeros;
use crate::repository::{Repository, RepositoryError, RevisionError};
use crate::store::{Found, Span, StoredObject};

/// Arguments of `runup cat-object`.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what"))]
pub struct CatObject {
    /// The object: an id, its first digits, or a revision
    #[arg(value_name = "OBJECT", requires = "what",
          required_unless_present_any = ["batch", "batch_check", "batch_all_objects"])]
    object: Option<OsString>,
    /// Print its kind
    #[arg(short = 't', group = "what")]
    kind: bool,
    /// Print its size in bytes
    #[arg(short = 's', group = "what")]
    size: bool,
    /// Say only whether it is there: exit code 0 or 1
    #[arg(short = 'e', group = "what")]
    exists: bool,
    /// Print its bytes
    #[arg(short = 'p', group = "what")]
    print: bool,
    /// Read objects from standard input; answer each with a record, its bytes and a newline
    #[arg(long, group = "what")]
    batch: bool,
    /// Read objects from standard input; answer each with a record
    #[arg(long, group = "what")]
    batch_check: bool,
    /// Answer with every stored object once, in the order of their ids; with --batch, their bytes too
    #[arg(long, conflicts_with_all = ["object", "kind", "size", "exists", "print"])]
    batch_all_objects: bool,
    /// With --batch-all-objects, go pack by pack, in the order in which objects lie there
    #[arg(long, requires = "batch_all_objects")]
    unordered: bool,
    /// Objects on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// With -t and -s, print the bare word or number
    #[arg(long)]
    plain: bool,
}

/// What is known of one object. What is not known is null.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "object")]
struct Record {
    /// The object as it was asked for.
    object: String,
    /// found, missing, ambiguous, or damaged.
    status: &'static str,
    /// The object.
    id: Option<Id>,
    /// What it is.
    kind: Option<Kind>,
    /// Its bytes.
    size_bytes: Option<u64>,
    /// Whether a list of its chunks is stored in place of its bytes.
    is_list: Option<bool>,
    /// Bytes that it takes: those of its loose file, or its share of its compressed frame. Of a
    /// list, without the chunks.
    stored_bytes: Option<u64>,
    /// The pack that holds it; null for a loose object.
    pack: Option<Id>,
    /// Where in the pack its frame begins.
    frame_offset: Option<u64>,
    /// The object that it is stored as a difference from; null where it needs none.
    delta_base: Option<Id>,
    /// How many places hold it; told by --batch-all-objects only.
    copies: Option<u64>,
    /// The objects that begin with these digits, where they are ambiguous.
    candidates: Vec<Id>,
    /// The path that the record had which asked for it.
    path: Option<String>,
    /// The exact path, base64, where it is not UTF-8.
    path_b64: Option<String>,
}

impl Command for CatObject {
    const NAME: &'static str = "cat-object";
    const ABOUT: &'static str = "Print objects, or what is known of them";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record>()];

    const DESCRIPTION: &'static str = "
        Prints an object or what is known of it; one of the options that say which must be given.
        `OBJECT` is any revision, `app:src/main.c` too.

        `-t` and `-s` print a record of all that is known of the object: its `kind` and
        `size_bytes`, whether it is stored as a list of chunks, and the pack that holds it. With
        `--plain` they print only the kind or the size. `-p` prints the bytes of the object, each
        verified: of a file its content, of others what runup-repository(5) describes. `-e` prints
        nothing and ends with 0 if the object is stored, with 1 if it is not, and with 5 if that
        could not be found out.

        `--batch-check` and `--batch` read objects from standard input, one a line: revisions, or
        records of other programs, of which the `id` counts, else the `tree`, else the `object`.
        Each is answered at once by a record whose `status` is `found`, `missing` or `ambiguous`.
        With `--batch` the record of an object that was found is followed by its bytes and a
        newline, or with `-z` a NUL. A `path` in the record that asks is repeated in the answer. What
        was stored after the program began is found, too.

        `--batch-all-objects` prints the record of every stored object instead, in the order of
        their ids, or with `--unordered` as they lie in their packs.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("A file of the latest snapshot", "runup-cat-object -p app:README"),
        Example::new(
            "Whether an object is stored, which this one is not",
            "runup-cat-object -e 00000000",
        )
        .exits(Exit::Failed),
        Example::new(
            "The biggest objects",
            "runup-cat-object --batch-all-objects |
  jq -r '[.size_bytes, .kind, .id] | @tsv' | sort -n | tail -n 3",
        ),
        Example::new(
            "How each file of a snapshot is stored",
            "runup-ls-tree -r app | runup-cat-object --batch-check |
  jq -c '[.path, .size_bytes, .is_list]'",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-hash-object(1)", "runup-ls-tree(1)", "runup-rev-parse(1)", "runup-repository(5)"];
    const EXITS: &'static [Exit] = &[
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Damaged,
        Exit::Unanswered,
        Exit::NoRepository,
        Exit::Hostile,
        Exit::NoSpace,
        Exit::Unsupported,
    ];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        let repository = match globals.open_repository() {
            Err(failure) if self.exists => {
                return Err(Failure { exit: Exit::Unanswered, ..failure });
            }
            other => other?,
        };
        if self.batch_all_objects {
            return self.all(&repository, output);
        }
        if self.batch || self.batch_check {
            return self.batch(&repository, output);
        }
        let object = self.object.as_deref().unwrap_or_default().as_encoded_bytes();
        let found = find(&repository, object);
        if self.exists {
            return match found {
                Ok(Some(_)) => Ok(Exit::Done),
                Ok(None) => Ok(Exit::Failed),
                Err(failure) if failure.exit == Exit::Usage => Err(failure),
                Err(failure) => Err(Failure { exit: Exit::Unanswered, ..failure }),
            };
        }
        let text = String::from_utf8_lossy(object).into_owned();
        let (id, found) = found?.ok_or_else(|| {
            Failure::new(Exit::Failed, "missing_object", format!("{text} is not in the repository"))
        })?;
        if self.print {
            return cat(&repository, &id, found.kind, output).map(|()| Exit::Done);
        }
        let record = describe(&repository, text, &id, &found)?;
        match (self.plain, self.kind) {
            (true, true) => output.line(found.kind.word().as_bytes())?,
            (true, false) => {
                output.line(record.size_bytes.unwrap_or_default().to_string().as_bytes())?;
            }
            (false, _) => output.record(&record, self.nul)?,
        }
        Ok(Exit::Done)
    }
}

impl CatObject {
    fn batch(&self, repository: &Repository, output: &mut Output) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        input::for_each_item(self.nul, |item| {
            let object = input::object(item)?;
            let text = String::from_utf8_lossy(object.as_deref().unwrap_or_default()).into_owned();
            let mut bytes_of = None;
            let answer = match &object {
                Some(object) => find_or_candidates(repository, object)?,
                None => Answer::Missing,
            };
            let record = match answer {
                Answer::Found(id, found) => {
                    let record = describe_any(repository, text, &id, &found)?;
                    bytes_of = Some((id, found.kind)).filter(|_| self.batch);
                    record
                }
                Answer::Damaged => {
                    exit = Exit::Damaged;
                    Record { object: text, status: DAMAGED, ..Record::default() }
                }
                Answer::Missing => Record { object: text, status: "missing", ..Record::default() },
                Answer::Ambiguous(candidates) => {
                    Record { object: text, status: "ambiguous", candidates, ..Record::default() }
                }
            };
            if record.status == DAMAGED {
                (exit, bytes_of) = (Exit::Damaged, None);
            }
            let asked = input::path_of_record(item)?;
            let (path, path_b64) =
                asked.map_or((None, None), |text| (Some(text.path), text.path_b64));
            output.record(&Record { path, path_b64, ..record }, self.nul)?;
            self.bytes(repository, bytes_of, output)?;
            // Whoever asks one by one waits for each answer.
            output.flush()?;
            Ok(())
        })?;
        Ok(exit)
    }

    fn bytes(
        &self,
        repository: &Repository,
        object: Option<(Id, Kind)>,
        output: &mut Output,
    ) -> Result<(), Failure> {
        if let Some((id, kind)) = object {
            cat(repository, &id, kind, output)?;
            output.bytes(if self.nul { b"\0" } else { b"\n" })?;
        }
        Ok(())
    }

    fn all(&self, repository: &Repository, output: &mut Output) -> Result<Exit, Failure> {
        let _session = repository.read_session()?;
        let all = All { command: self, repository, has_damage: AtomicBool::new(false) };
        print_all(output, &all, |take| {
            let each = |object: StoredObject| {
                let StoredObject { id, found, copies } = object;
                match found {
                    Ok(found) => take(Item { id, copies, found: Some(found) }),
                    Err(error) if error.is_damage() => take(Item { id, copies, found: None }),
                    Err(error) => Err(error.into()),
                }
            };
            match self.unordered {
                true => repository.store().for_each_object_by_pack(each),
                false => repository.store().for_each_object(each),
            }
        })?;
        match all.has_damage.into_inner() {
            true => Ok(Exit::Damaged),
            false => Ok(Exit::Done),
        }
    }
}

/// What the record of an object says that is stored and cannot be used.
const DAMAGED: &str = "damaged";

enum Answer {
    Found(Id, Box<Found>),
    Damaged,
    Missing,
    Ambiguous(Vec<Id>),
}

/// Answers from what is known, and looks again at what was stored meanwhile where that may matter.
///
/// 64 digits are an id here and nothing else: to ask whether a project is called so means to read
/// all jobs. `project/NAME` names such a project.
fn find_or_candidates(repository: &Repository, object: &[u8]) -> Result<Answer, Failure> {
    let store = repository.store();
    let text = std::str::from_utf8(object).ok();
    let Some(id) = text.and_then(|text| text.parse::<Id>().ok()) else {
        // Digits that meant one object may mean two by now.
        store.look_again(now())?;
        return match repository.resolve(object, &zone()) {
            Ok(resolved) => look_up(repository, resolved.id),
            Err(RevisionError::Ambiguous { candidates, .. }) => Ok(Answer::Ambiguous(candidates)),
            Err(RevisionError::Repository(RepositoryError::Read(error))) if error.is_damage() => {
                Ok(Answer::Damaged)
            }
            Err(RevisionError::Repository(error)) => Err(error.into()),
            Err(_) => Ok(Answer::Missing),
        };
    };
    match look_up(repository, id)? {
        Answer::Missing if store.look_again(now())? => look_up(repository, id),
        answer => Ok(answer),
    }
}

fn look_up(repository: &Repository, id: Id) -> Result<Answer, Failure> {
    match repository.store().find(&id) {
        Ok(found) => Ok(found.map_or(Answer::Missing, |found| Answer::Found(id, Box::new(found)))),
        Err(error) if error.is_damage() => Ok(Answer::Damaged),
        Err(error) => Err(error.into()),
    }
}

fn find(repository: &Repository, object: &[u8]) -> Result<Option<(Id, Found)>, Failure> {
    let id = match repository.resolve(object, &zone()) {
        Ok(resolved) => resolved.id,
        // A whole id, or digits, that nothing answers to is an answer: no such object.
        Err(RevisionError::Unknown { revision }) => {
            let is_hex = revision.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let is_digits = is_hex && (4..=64).contains(&revision.len());
            return match is_digits {
                true => Ok(None),
                false => Err(RevisionError::Unknown { revision }.into()),
            };
        }
        Err(error) => return Err(error.into()),
    };
    Ok(repository.store().find(&id)?.map(|found| (id, found)))
}

/// As [`describe`]; an object whose list is damaged, which holds its size, is described as such.
fn describe_any(
    repository: &Repository,
    object: String,
    id: &Id,
    found: &Found,
) -> Result<Record, Failure> {
    match repository.store().size_bytes(id, found) {
        Ok(size_bytes) => Ok(record(object, id, found, Some(size_bytes))),
        Err(error) if error.is_damage() => {
            Ok(Record { status: DAMAGED, ..record(object, id, found, None) })
        }
        Err(error) => Err(error.into()),
    }
}

fn describe(
    repository: &Repository,
    object: String,
    id: &Id,
    found: &Found,
) -> Result<Record, Failure> {
    let size_bytes = repository.store().size_bytes(id, found)?;
    Ok(record(object, id, found, Some(size_bytes)))
}

fn record(object: String, id: &Id, found: &Found, size_bytes: Option<u64>) -> Record {
    Record {
        object,
        status: "found",
        id: Some(*id),
        kind: Some(found.kind),
        size_bytes,
        is_list: Some(found.is_list),
        stored_bytes: Some(found.stored_bytes),
        pack: found.pack.map(|place| place.pack.name),
        frame_offset: found.pack.map(|place| place.place.frame.offset),
        delta_base: found.base().map(|base| base.id),
        ..Record::default()
    }
}

/// Writes the bytes of an object; every one was proved before.
pub(super) fn cat(
    repository: &Repository,
    id: &Id,
    kind: Kind,
    output: &mut Output,
) -> Result<(), Failure> {
    stream(repository, id, kind, &mut |bytes| output.bytes(bytes))
}

fn stream(
    repository: &Repository,
    id: &Id,
    kind: Kind,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Failure> {
    repository.store().stream(id, kind, &mut |span| match span {
        Span::Bytes(bytes) => write(bytes),
        Span::Zeros(mut count) => {
            while count > 0 {
                let take = count.min(zeros().len() as u64);
                write(&zeros()[..take as usize])?;
                count -= take;
            }
            Ok(())
        }
    })?;
    Ok(())
}
