//! `runup init`: a repository, and a project file to start from.

use std::io::Write;

use schemars::JsonSchema;
use serde::Serialize;

use super::environment::{Globals, date};
use super::exit::Exit;
use super::failure::Failure;
use super::output::{Output, shown};
use super::{Command, Layer, Shape};
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
