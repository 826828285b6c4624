//! `runup init`: a repository, and a project file to start from.

use std::io::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, date};
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, shown};
use super::{Command, Example, Layer, Shape};
use crate::format::compress::Compression;
use crate::format::project_file::ProjectFile;
use crate::repository::{InitOptions, Repository};

/// Arguments of `runup init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// How new data is compressed: zstd[:1-19], deflate[:1-9] or none [default: zstd:3]
    #[arg(long, value_name = "METHOD")]
    compression: Option<Compression>,
}

/// A repository that was made.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "initialized")]
struct Record<'a> {
    /// `initialized`.
    message_type: &'static str,
    /// The repository's id: 32 hexadecimal digits.
    id: &'a str,
    /// Where it is.
    repository: String,
    /// How it compresses.
    compression: &'a str,
    /// The runup.yaml that was written; null where there was one.
    project_file: Option<String>,
}

impl Command for Init {
    const NAME: &'static str = "init";
    const ABOUT: &'static str = "Make a repository, and a runup.yaml to start from";
    const LAYER: Layer = Layer::Porcelain;
    const RECORDS: &'static [Shape] = &[Shape::of::<Record<'_>>()];

    const DESCRIPTION: &'static str = "
        Makes an empty repository in the directory that `--repository`, `RUNUP_REPOSITORY` or, in
        `runup.yaml`, `storage` names, else in `.runup` of the context. It is made if need be,
        though not the directory above it; one that exists must be empty.

        Where the context has neither `runup.yaml` nor `runup.yml`, a `runup.yaml` is written that
        backs up everything beside it as the project `default`.

        The repository keeps the compression it is made with: that of `--compression`, else of
        `runup.yaml`, else `zstd:3`. `zstd` alone means `zstd:3`, `deflate` alone `deflate:6`.

        A repository of the Python RunUp is left alone and refused.
    ";
    const EXAMPLES: &'static [Example] = &[
        Example::new(
            "Make a second repository elsewhere, compressed harder",
            "runup init --repository ../backups --compression zstd:12",
        ),
        Example::new("A repository that is there already is never touched", "runup init")
            .exits(Exit::Failed),
    ];
    const SEE_ALSO: &'static [&'static str] = &["runup-backup(1)", "runup.yaml(5)"];

    fn run(self, globals: &Globals, output: &mut Output) -> Result<Exit, Failure> {
        globals.absolute_context()?;
        let found = globals.find_project_file()?;
        let file = found.as_ref().map(|found| &found.file);
        let path = globals.repository_path(file);
        let compression = self.compression.or_else(|| file.and_then(|file| file.compression));
        let options = InitOptions {
            compression: compression.unwrap_or_default(),
            created: date()?,
            ..InitOptions::default()
        };
        let repository = Repository::init(&path, &options)?;
        let written = match found {
            Some(_) => None,
            None => Some(write_template(globals)?),
        };
        if output.is_json() {
            let record = Record {
                message_type: "initialized",
                id: &repository.config().repository_id,
                repository: path.to_string_lossy().into_owned(),
                compression: &repository.config().compression,
                project_file: written.map(|path| path.to_string_lossy().into_owned()),
            };
            output.record(&record, false)?;
        } else {
            output.line(format!("Repository made in {}", shown(&path)).as_bytes())?;
            if let Some(path) = written {
                let path = shown(&path);
                output.line(format!("{path} written: say there what to back up").as_bytes())?;
            }
        }
        Ok(Exit::Done)
    }
}

fn write_template(globals: &Globals) -> Result<std::path::PathBuf, Failure> {
    let path = globals.context().join("runup.yaml");
    let failed = |error: &std::io::Error| Failure::io(&path.display().to_string(), error);
    let mut file = std::fs::File::create_new(&path).map_err(|error| failed(&error))?;
    file.write_all(ProjectFile::TEMPLATE.as_bytes()).map_err(|error| failed(&error))?;
    Ok(path)
}
