//! The object database over packs, loose objects and index segments.
//!
//! Invariant: an id that can be found is complete: all it refers to was durable before it could be
//! found. Bytes are handed out only after they have been found to be those of the id asked for.

mod all;
mod claims;
mod delta;
mod error;
mod frames;
mod inserter;
mod locate;
mod loose;
mod merge;
mod object_set;
mod open_frame;
mod pack_writer;
mod parts;
mod presence;
mod previous;
mod publisher;
mod read;
mod rebuild;
mod recover;
mod refresh;
mod segments;
mod share;
mod sink;
mod worker;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

pub use all::StoredObject;
pub use error::{ReadError, WriteError};
pub use frames::{FrameKey, Frames};
pub use inserter::{InsertOptions, InsertReport, Inserter};
pub use locate::{Found, PackPlace};
pub use object_set::ObjectSet;
pub use pack_writer::{PackPart, PackWriter, read_footer, read_frames, read_header, read_trailer};
pub use parts::Part;
pub use presence::Distrusted;
pub use read::{ObjectBytes, Sink, Span, Stored};
pub use segments::{Segment, Segments};
pub use share::{ShareFrames, SharedFrame};
pub use sink::{
    HashOnly, LongObject, LooseSink, ObjectSink, put_any, put_any_like, put_stream, put_stream_like,
};
pub use worker::Worker;

use crate::backend::Backend;
use crate::base::id::Id;
use crate::format::chunker::Chunker;
use crate::format::config::Config;

/// What prune has announced it will delete: neither a duplicate to rely on nor a file to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condemned {
    /// Names of packs.
    pub packs: BTreeSet<Id>,
    /// Loose objects.
    pub loose: BTreeSet<Id>,
}

/// The objects of a repository.
#[derive(Debug)]
pub struct Store {
    backend: Arc<dyn Backend>,
    chunker: Chunker,
    config: Config,
    segments: Segments,
    frames: Frames,
    loose: loose::LooseObjects,
    /// Packs that were looked for, and whether they are there.
    packs_there: RwLock<HashMap<Id, bool>>,
    /// What a check has found damaged.
    distrusted: RwLock<Distrusted>,
    looks: refresh::Looks,
}

impl Store {
    /// Opens the objects of a repository: maps its index segments, loads nothing.
    ///
    /// A segment that is damaged or of another version is left out; reading falls back on the
    /// footers of the packs it covered.
    ///
    /// # Errors
    ///
    /// The repository cannot be listed.
    pub fn open(backend: Arc<dyn Backend>, config: Config) -> Result<Self, ReadError> {
        let segments = Segments::load(&*backend)?;
        let loose = loose::LooseObjects::load(&*backend)?;
        let chunker = Chunker::new(config.chunker);
        let frames = Frames::new(Arc::clone(&backend));
        let packs_there = RwLock::default();
        let distrusted = RwLock::default();
        let looks = refresh::Looks::default();
        Ok(Self {
            backend,
            chunker,
            config,
            segments,
            frames,
            loose,
            packs_there,
            distrusted,
            looks,
        })
    }

    /// Where the bytes are kept.
    pub fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// Where long objects are cut.
    pub fn chunker(&self) -> &Chunker {
        &self.chunker
    }

    /// The repository's configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The index segments.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// Sets what must not be relied on, read from the newest generation by whoever opens a session.
    pub fn set_condemned(&self, condemned: Condemned) {
        self.packs_there.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.segments.set_condemned(condemned);
    }

    /// What must not be relied on.
    pub fn condemned(&self) -> Condemned {
        self.segments.condemned()
    }

    /// Does something for which what is condemned is as good as what is not, as long as it is there.
    ///
    /// Nothing may be stored meanwhile.
    pub fn with_condemned<T>(&self, work: impl FnOnce() -> T) -> T {
        let condemned = self.segments.condemned();
        self.set_condemned(Condemned::default());
        let done = work();
        self.set_condemned(condemned);
        done
    }

    /// Looks again at which index segments and loose objects there are.
    ///
    /// # Errors
    ///
    /// The backend fails, or a segment is of a later version.
    pub fn reload(&self) -> Result<(), ReadError> {
        self.loose.reload(&*self.backend)?;
        self.segments.reload(&*self.backend)
    }

    /// The decompressed frames kept from recent reads.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }
}
