//! `runup verify-pack`: whether single packs are what their names say.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;

use super::codes::Code;
use super::environment::Globals;
use super::exit::Exit;
use super::failure::{ErrorRecord, Failure};
use super::input;
use super::json::PathText;
use super::output::{Output, write_line, write_record};
use super::pack_name::{PackName, id_in_file_name};
use super::rendering::{Render, print_all};
use super::{Command, Example, Layer, Shape};
use crate::backend::{BackendError, RandomRead, open_file};
use crate::base::id::Id;
use crate::base::kind::Kind;
use crate::format::pack::PackClass;
use crate::ops::verify_pack::{EachObject, PackReport, PackedObject, verify_pack};
use crate::ops::with_causes;
use crate::repository::Repository;
use crate::store::Store;

/// Arguments of `runup verify-pack`.
#[derive(Debug, clap::Args)]
pub struct VerifyPack {
    /// Packs: the id of one in the repository, its first digits, or the path of a file
    #[arg(value_name = "PACK", required_unless_present = "stdin")]
    packs: Vec<OsString>,
    /// Read packs from standard input
    #[arg(long)]
    stdin: bool,
    /// Packs on standard input, and records, end with NUL
    #[arg(short = 'z')]
    nul: bool,
    /// Print a line for each pack: its id, and whether it is sound
    #[arg(long)]
    plain: bool,
}

/// One object of a pack, with --verbose.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "packed-object")]
struct ObjectRecord {
    /// `object`.
    message_type: &'static str,
    /// The object.
    id: Id,
    /// What it is.
    kind: Kind,
    /// Whether a list of its chunks is stored in place of its bytes.
    is_list: bool,
    /// Its bytes; null where it is damaged.
    size_bytes: Option<u64>,
    /// Its share of its compressed frame.
    stored_bytes: u64,
    /// The pack.
    pack: Option<Id>,
    /// Where in the pack its frame begins.
    frame_offset: u64,
    /// Bytes of the frame, compressed.
    frame_stored_bytes: u32,
    /// Bytes of the frame, uncompressed.
    frame_raw_bytes: u32,
    /// What is wrong with it.
    error: Option<ErrorRecord>,
}

/// A pack that was verified.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "verified-pack")]
struct PackRecord {
    /// `pack`.
    message_type: &'static str,
    /// Its name; of a file that is named otherwise, the hash of its bytes.
    pack: Option<Id>,
    /// The file, in the repository or as it was given.
    file: String,
    /// The exact path, base64, where it is not UTF-8.
    file_b64: Option<String>,
    /// Its bytes.
    length_bytes: u64,
    /// content, or metadata; null where that cannot be told.
    class: Option<&'static str>,
    /// Frames that were verified.
    frames: u64,
    /// Objects that were verified.
    objects: u64,
    /// Of those, the ones that are stored as a difference from an object of a repository that was
    /// not found, so that only the hash of the pack vouches for them.
    unproved_objects: u64,
    /// Whether nothing is wrong with it.
    is_sound: bool,
    /// What is wrong.
    findings: Vec<FindingRecord>,
}

/// Something that is wrong with a pack.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "pack-finding")]
struct FindingRecord {
    /// A stable word for programs.
    #[schemars(with = "Code")]
    code: &'static str,
    /// One line for people.
    message: String,
    /// Where in the pack.
    offset: Option<u64>,
}

/// A pack that is to be verified.
struct Opened {
    /// What its bytes should hash to; `None` where its file is named otherwise.
    name: Option<Id>,
    file: Vec<u8>,
    pack: Result<Box<dyn RandomRead>, BackendError>,
}

impl Command for VerifyPack {
    const NAME: &'static str = "verify-pack";
    const ABOUT: &'static str = "Verify every byte of single packs";
    const LAYER: Layer = Layer::Plumbing;
    const RECORDS: &'static [Shape] = &[Shape::of::<ObjectRecord>(), Shape::of::<PackRecord>()];

    const DESCRIPTION: &'static str = "
        Reads packs and verifies every byte: that the file hashes to its name, and every frame and
        object in it. Each is answered by a record with what was found. The file of a pack may be
        given instead of its id, wherever it is; no repository is needed then, but to prove objects
        that are stored as a difference from others. With `--verbose` each object has a record, too.

        The exit code is 4 if anything is damaged. runup-fsck(1) verifies all packs and tells which
        files of which jobs damage affects.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new("All packs, one after the other", "runup-verify-pack .runup/packs/*.pack"),
        Example::new(
            "What is in the pack that holds a file",
            "runup-cat-object -t app:README | jq -r .pack |
  runup-verify-pack -v --stdin",
        ),
    ];
    const SEE_ALSO: &'static [&'static str] =
        &["runup-fsck(1)", "runup-index-pack(1)", "runup-repository(5)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        // In which bases are looked for: none is no failure.
        let repository = globals.open_repository().ok();
        let store = repository.as_ref().map(Repository::store);
        let mut exit = Exit::Done;
        let opened = |name: &PackName| open(name, globals, repository.as_ref());
        if globals.verbose {
            for pack in &self.packs {
                let opened = opened(&PackName::new(pack))?;
                exit = exit.and(self.one(&opened, store, true, output)?);
            }
        } else {
            let packs = Packs { command: &self, store, exit: Mutex::new(exit) };
            print_all(output, &packs, |take| {
                self.packs.iter().try_for_each(|pack| take(opened(&PackName::new(pack))?))
            })?;
            exit = packs.exit.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        if self.stdin {
            input::for_each_item(self.nul, |item| {
                let opened = opened(&PackName::from_item(item)?)?;
                exit = exit.and(self.one(&opened, store, globals.verbose, output)?);
                Ok(output.flush()?)
            })?;
        }
        Ok(exit)
    }
}

/// Opens a pack; one that is named by its id needs a repository.
fn open(
    name: &PackName,
    globals: &Globals,
    repository: Option<&Repository>,
) -> Result<Opened, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let digits = match name {
        PackName::Path(path) => {
            return Ok(Opened {
                name: id_in_file_name(path),
                file: path.as_os_str().as_bytes().to_vec(),
                pack: open_file(path),
            });
        }
        PackName::Digits(digits) => digits,
    };
    let opened;
    let repository = if let Some(repository) = repository {
        repository
    } else {
        opened = globals.open_repository()?;
        &opened
    };
    let id = PackName::resolve(digits, repository)?;
    let file = format!("packs/{id}.pack");
    let pack = repository.backend().open(&file);
    Ok(Opened { name: Some(id), file: file.into_bytes(), pack })
}

impl VerifyPack {
    fn one(
        &self,
        opened: &Opened,
        store: Option<&Store>,
        is_verbose: bool,
        output: &mut Output,
    ) -> Result<Exit, Failure> {
        let mut text = Vec::new();
        let exit = self.verify(opened, store, &mut text, &mut |object| {
            if !is_verbose || self.plain {
                return Ok(());
            }
            output.record(&object_record(object, opened.name), self.nul)
        })?;
        output.rendered(&text)?;
        Ok(exit)
    }

    /// Verifies a pack and appends its record.
    fn verify(
        &self,
        opened: &Opened,
        store: Option<&Store>,
        text: &mut Vec<u8>,
        each: &mut EachObject<'_>,
    ) -> Result<Exit, Failure> {
        let report = match &opened.pack {
            Ok(pack) => verify_pack(&**pack, opened.name.as_ref(), store, each)?,
            Err(error) => {
                let is_missing = error.is_missing();
                let code = if is_missing { "missing_pack" } else { "unreadable_file" };
                PackReport::of_unopened(code, with_causes(error))
            }
        };
        let exit = exit_of(&report);
        let name = opened.name.or(report.hash);
        if self.plain {
            let word = if report.is_sound() { "sound" } else { "damaged" };
            let name = name.map_or_else(|| "-".to_owned(), |id| id.to_hex());
            write_line(text, format!("{name} {word}").as_bytes(), false)?;
            return Ok(exit);
        }
        let file = PathText::new(&opened.file);
        let is_sound = report.is_sound();
        let findings = report.findings.into_iter().map(|finding| FindingRecord {
            code: finding.code,
            message: finding.message,
            offset: finding.offset,
        });
        let record = PackRecord {
            message_type: "pack",
            pack: name,
            file: file.path,
            file_b64: file.path_b64,
            length_bytes: report.length_bytes,
            class: report.class.map(PackClass::word),
            frames: report.frames,
            objects: report.objects,
            unproved_objects: report.unproved,
            is_sound,
            findings: findings.collect(),
        };
        write_record(text, &record, self.nul)?;
        Ok(exit)
    }
}

/// Packs that are verified side by side.
struct Packs<'a> {
    command: &'a VerifyPack,
    store: Option<&'a Store>,
    exit: Mutex<Exit>,
}

impl Render<Opened> for Packs<'_> {
    fn render(&self, opened: &Opened, text: &mut Vec<u8>) -> Result<(), Failure> {
        let exit = self.command.verify(opened, self.store, text, &mut |_| Ok(()))?;
        let mut worst = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = worst.and(exit);
        Ok(())
    }

    fn ends_batch(&self, batch: &[Opened], _next: &Opened) -> bool {
        !batch.is_empty()
    }
}

fn exit_of(report: &PackReport) -> Exit {
    let is_unsupported = report.findings.iter().all(|finding| finding.code == "unsupported");
    match (report.is_sound(), is_unsupported) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Unsupported,
        (false, false) => Exit::Damaged,
    }
}

fn object_record(packed: &PackedObject<'_>, pack: Option<Id>) -> ObjectRecord {
    let (object, frame) = (packed.object, packed.frame);
    let stored = u64::from(object.length) * u64::from(frame.stored_length)
        / u64::from(frame.raw_length.max(1));
    let error = packed.size_bytes.as_ref().err();
    ObjectRecord {
        message_type: "object",
        id: object.id,
        kind: object.kind,
        is_list: object.is_list,
        size_bytes: packed.size_bytes.as_ref().ok().copied(),
        stored_bytes: stored,
        pack,
        frame_offset: frame.offset,
        frame_stored_bytes: frame.stored_length,
        frame_raw_bytes: frame.raw_length,
        error: error
            .map(|message| ErrorRecord { code: "damaged_object", message: message.clone() }),
    }
}
