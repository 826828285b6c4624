//! A repository as a whole: made, opened, its sessions, jobs and refs.
//!
//! Invariant: a version or feature that is not known is refused before anything else is read.

mod error;
mod gaps;
mod jobs;
mod lost_jobs;
mod pipeline;
mod prune;
mod refs;
mod revision;
mod session;

use std::path::Path;
use std::sync::Arc;

pub use error::{OpenError, RepositoryError};
pub use jobs::{Job, JobRecord, parse_job_number, read_links};
pub use refs::{RefTable, RefTarget, Refs, is_ref_name, may_be_target};
pub use revision::{Resolved, RevisionError};
pub use session::{Generation, WriteSession};

use crate::backend::{Backend, BackendError, Created, Local};
use crate::base::id::hex;
use crate::base::limits::CONTROL_FILE_BYTES_MAX;
use crate::format::chunker::ChunkerParameters;
use crate::format::compress::Compression;
use crate::format::config::{Config, FORMAT_VERSION, Publication};
use crate::format::pack::FormatError;
use crate::store::Store;

/// The file that every repository has.
pub const CONFIG_FILE: &str = "config";
/// The file by which a repository of the Python RunUp is known.
pub const LEGACY_FILE: &str = "runup.db";

/// What a new repository is to be like.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// How frames are compressed.
    pub compression: Compression,
    /// Where long objects are cut.
    pub chunker: ChunkerParameters,
    /// When it is made, RFC 3339.
    pub created: String,
}

/// An open repository.
#[derive(Debug)]
pub struct Repository {
    backend: Arc<dyn Backend>,
    store: Store,
    location: String,
    /// The session that sessions for writing lean on.
    leaned_on: Option<String>,
}

impl Repository {
    /// Makes a repository in a directory that does not exist, is empty, or holds an init cut short.
    ///
    /// Durable on return. `config` comes last, so that an init cut short leaves no repository.
    ///
    /// # Errors
    ///
    /// There is one already, or something else; the system refuses.
    pub fn init(path: &Path, options: &InitOptions) -> Result<Self, OpenError> {
        let location = path.display().to_string();
        if let Ok(entries) = std::fs::read_dir(path) {
            let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            if names.iter().any(|name| name == CONFIG_FILE) {
                return Err(OpenError::Exists { location });
            }
            if names.iter().any(|name| name == LEGACY_FILE) {
                return Err(OpenError::Legacy { location });
            }
            let is_ours =
                |name: &std::ffi::OsString| Local::is_initial_name(&name.to_string_lossy());
            if !names.iter().all(is_ours) {
                return Err(OpenError::Occupied { location });
            }
        }
        let local = Local::init(path)?;
        let probe = local.probe()?;
        // What it publishes with has been found out only now.
        let local = Local::open(path, probe.exclusive_rename)?;
        let mut id = [0; 16];
        let filled = rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty());
        filled.map_err(|error| OpenError::Random { source: error.into() })?;
        let config = Config {
            format_version: FORMAT_VERSION,
            repository_id: hex(&id),
            required_features: Vec::new(),
            optional_features: Vec::new(),
            chunker: options.chunker,
            compression: options.compression.to_string(),
            publication: if probe.exclusive_rename {
                Publication::Rename
            } else {
                Publication::Link
            },
            encryption: None,
            created: options.created.clone(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        if local.write_new(CONFIG_FILE, &config.encode())? == Created::Existed {
            return Err(OpenError::Exists { location });
        }
        // A prune makes it where it is lacking.
        local.reserve()?;
        Self::open(path)
    }

    /// Opens the repository in a directory.
    ///
    /// # Errors
    ///
    /// There is none, it is of the Python RunUp, its configuration is damaged or asks for what this
    /// version cannot do.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let location = path.display().to_string();
        let none = || OpenError::None { location: location.clone() };
        let local = match Local::open(path, true) {
            Err(BackendError::Missing { .. } | BackendError::Damaged { .. }) => return Err(none()),
            other => other?,
        };
        let Some(bytes) = local.read(CONFIG_FILE, CONTROL_FILE_BYTES_MAX)? else {
            return Err(match local.length(LEGACY_FILE)? {
                Some(_) => OpenError::Legacy { location },
                None => none(),
            });
        };
        let file = local.describe(CONFIG_FILE);
        let config = Config::decode(&bytes).map_err(|error| match error {
            FormatError::Decode(source) => OpenError::Damaged { file, source },
            FormatError::Unsupported(what) => OpenError::Unsupported { file, what },
        })?;
        let local = match config.publication {
            Publication::Rename => local,
            Publication::Link => Local::open(path, false)?,
        };
        Self::with_backend(Arc::new(local), config, location)
    }

    /// Opens a repository whose configuration has been read, over any backend.
    ///
    /// # Errors
    ///
    /// The backend fails.
    pub fn with_backend(
        backend: Arc<dyn Backend>,
        config: Config,
        location: String,
    ) -> Result<Self, OpenError> {
        let store = Store::open(Arc::clone(&backend), config)?;
        Ok(Self { backend, store, location, leaned_on: None })
    }

    /// Its objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Where its bytes are kept.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        self.store.config()
    }

    /// Where it is, for people.
    pub fn location(&self) -> &str {
        &self.location
    }
}
