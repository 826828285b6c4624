//! Seeing what others stored meanwhile, for programs that run long.
//!
//! Invariant: nothing is listed again while the directory is known to be as it was. A change soon
//! after another may leave the time of the directory as it is, so a time that was young when the
//! directory was listed is not trusted.

use std::sync::{Mutex, PoisonError};

use super::{ReadError, Store};
use crate::base::time::FileTime;

/// Seconds after which one change of a directory has another time than the next. File systems
/// count in steps of milliseconds, or of two seconds.
const SETTLED_SECONDS: i64 = 3;

/// The times of the directories when they were listed, as far as these are to be trusted.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<[Option<FileTime>; 2]>);

/// A directory that is to be listed, and its time before that, if it can be trusted afterwards.
struct Look {
    number: usize,
    settled: Option<FileTime>,
}

const INDEX: usize = 0;
const LOOSE: usize = 1;

impl Store {
    /// Looks again at which index segments and which directories of loose objects there are, if
    /// those may have changed since the last time; whether it did. `now` is the time before the
    /// call.
    ///
    /// # Errors
    ///
    /// The backend fails, or a segment is of a later version.
    pub fn look_again(&self, now: FileTime) -> Result<bool, ReadError> {
        let index = self.looks_again("index", INDEX, now)?;
        if let Some(look) = &index {
            self.segments.reload(&*self.backend)?;
            self.trust(look);
        }
        let loose = self.looks_again("objects", LOOSE, now)?;
        if let Some(look) = &loose {
            self.loose.reload(&*self.backend)?;
            self.trust(look);
        }
        Ok(index.is_some() || loose.is_some())
    }

    /// The look that a directory needs, if it needs one.
    fn looks_again(
        &self,
        directory: &str,
        number: usize,
        now: FileTime,
    ) -> Result<Option<Look>, ReadError> {
        let changed = self.backend.changed(directory)?;
        let trusted = self.looks.0.lock().unwrap_or_else(PoisonError::into_inner)[number];
        let settled = changed.filter(|changed| changed.seconds + SETTLED_SECONDS < now.seconds);
        let is_known = changed.is_some() && changed == trusted;
        Ok((!is_known).then_some(Look { number, settled }))
    }

    fn trust(&self, look: &Look) {
        self.looks.0.lock().unwrap_or_else(PoisonError::into_inner)[look.number] = look.settled;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::backend::Local;
    use crate::base::hash::object_id;
    use crate::base::kind::Kind;
    use crate::format::chunker::ChunkerParameters;
    use crate::format::compress::Compression;
    use crate::format::config::{Config, FORMAT_VERSION, Publication};
    use crate::store::{InsertOptions, Inserter, LooseSink, ObjectSink};

    fn open(path: &Path) -> Store {
        let config = Config {
            format_version: FORMAT_VERSION,
            repository_id: "0".repeat(32),
            required_features: Vec::new(),
            optional_features: Vec::new(),
            chunker: ChunkerParameters::default(),
            compression: "none".into(),
            publication: Publication::Rename,
            encryption: None,
            created: String::new(),
            program_version: String::new(),
        };
        Store::open(Arc::new(Local::open(path, true).expect("local")), config).expect("store")
    }

    fn pack(store: &Store, bytes: &[u8]) {
        let session = store.backend().open_session().expect("session");
        let options = InsertOptions::new(1, Compression::None);
        let stored = Inserter::new(store, session.id(), options)
            .run_one(|worker| worker.put(Kind::Blob, bytes));
        stored.expect("stored");
    }

    #[test]
    fn a_young_time_is_not_trusted_and_a_settled_one_is() {
        let folder = tempfile::tempdir().expect("folder");
        Local::init(folder.path()).expect("init");
        let (reader, writer) = (open(folder.path()), open(folder.path()));
        let changed = reader.backend().changed("index").expect("time").expect("time");
        let after = |seconds| FileTime { seconds: changed.seconds + seconds, nanoseconds: 0 };
        assert!(reader.look_again(after(1)).expect("looks"), "nothing is known at first");
        assert!(reader.look_again(after(100)).expect("looks"), "it was young then");
        assert!(!reader.look_again(after(100)).expect("looks"), "it has settled");
        pack(&writer, b"packed");
        let id = object_id(Kind::Blob, b"packed");
        assert_eq!(reader.find(&id).expect("find"), None);
        // Times of directories may stand still for some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(reader.look_again(after(200)).expect("looks"));
        assert!(reader.find(&id).expect("find").is_some());
        let session = writer.backend().open_session().expect("session");
        let id = LooseSink::new(&writer, session.id()).put(Kind::Blob, b"loose").expect("put");
        assert!(reader.look_again(after(300)).expect("looks"), "a directory is new");
        assert!(reader.find(&id).expect("find").is_some());
    }
}
