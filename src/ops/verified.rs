//! What checks have learnt of the packs of a repository: which were read whole and found good, and
//! when; and what is damaged.
//!
//! Client-side and disposable: without it packs are verified again. Invariant: a pack counts as
//! verified only since a time after which all of its bytes were read and hashed to its name, and one
//! that was found damaged later does not.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::base::hash::plain;
use crate::base::id::Id;
use crate::base::time::FileTime;
use crate::format::codec::{DecodeError, Reader, put_bytes, put_length, put_signed, put_varint};
use crate::store::Distrusted;

const MAGIC: &[u8; 8] = b"RunUpVf1";
const CHECKSUM_BYTES: usize = 32;

/// What is known of the packs of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Packs, and the second in which the check began that last found each to be good. 40 bytes each.
    pub packs: BTreeMap<Id, i64>,
    /// Stored data that was found damaged and has not been found good since.
    pub damaged: Distrusted,
    /// When a check last found that anything was damaged or missing; `None` if the last one found
    /// nothing.
    pub found: Option<FileTime>,
}

/// What one check has learnt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Packs that were read whole: the bytes at which their damaged frames begin, and whether all
    /// bytes are those of the name.
    pub packs: BTreeMap<Id, (BTreeSet<u64>, bool)>,
    /// Damaged loose objects; `None` if not all were read.
    pub loose: Option<BTreeSet<Id>>,
    /// Packs that there are; `None` if that is not known.
    pub listed: Option<BTreeSet<Id>>,
    /// Whether anything is damaged or missing; `None` if not everything was looked at.
    pub is_damaged: Option<bool>,
}

impl Verified {
    /// Reads what was kept of a repository: nothing, where there is none, or it is damaged.
    pub fn load(path: &Path, repository_id: &str) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        Self::decode(&bytes, repository_id).unwrap_or_default()
    }

    /// Takes what a check that began at `now` has learnt.
    pub fn learn(&mut self, learnt: &Learnt, now: FileTime) {
        for (name, (frames, is_good)) in &learnt.packs {
            if *is_good {
                self.packs.insert(*name, now.seconds);
            } else {
                self.packs.remove(name);
            }
            // One whose damage is in no frame is remembered too, as there is something to repair.
            match *is_good && frames.is_empty() {
                true => self.damaged.frames.remove(name),
                false => self.damaged.frames.insert(*name, frames.clone()),
            };
        }
        if let Some(listed) = &learnt.listed {
            self.packs.retain(|name, _| listed.contains(name));
            self.damaged.frames.retain(|name, _| listed.contains(name));
        }
        if let Some(loose) = &learnt.loose {
            self.damaged.loose.clone_from(loose);
        }
        match learnt.is_damaged {
            Some(true) => self.found = Some(now),
            Some(false) => self.found = None,
            None => {}
        }
    }

    /// Keeps it, in place of what was kept before.
    ///
    /// # Errors
    ///
    /// It cannot be written; what was kept before stays.
    pub fn save(&self, path: &Path, repository_id: &str) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let temporary = path.with_extension(format!("{}.new", std::process::id()));
        let mut file = std::fs::OpenOptions::new();
        file.write(true).create(true).truncate(true).mode(0o600);
        let written = file.open(&temporary).and_then(|mut file| {
            io::Write::write_all(&mut file, &self.encode(repository_id))?;
            std::fs::rename(&temporary, path)
        });
        if written.is_err() {
            // The first error is the one to tell.
            let _ignored = std::fs::remove_file(&temporary);
        }
        written
    }

    /// A hash of all that is damaged or missing, and of when that was found.
    pub fn damage(&self) -> [u8; 32] {
        let mut text = Vec::new();
        self.encode_damage(&mut text);
        plain(&text)
    }

    fn encode_damage(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.found.is_some()));
        let found = self.found.unwrap_or_default();
        put_signed(out, found.seconds);
        put_varint(out, u64::from(found.nanoseconds));
        put_length(out, self.damaged.frames.len());
        for (name, frames) in &self.damaged.frames {
            out.extend_from_slice(name.as_bytes());
            put_length(out, frames.len());
            frames.iter().for_each(|offset| put_varint(out, *offset));
        }
        put_length(out, self.damaged.loose.len());
        self.damaged.loose.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
    }

    fn encode(&self, repository_id: &str) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_bytes(&mut out, repository_id.as_bytes());
        put_length(&mut out, self.packs.len());
        for (name, seconds) in &self.packs {
            out.extend_from_slice(name.as_bytes());
            put_signed(&mut out, *seconds);
        }
        self.encode_damage(&mut out);
        let sum = plain(&out);
        out.extend_from_slice(&sum);
        out
    }

    fn decode(bytes: &[u8], repository_id: &str) -> Result<Self, DecodeError> {
        let damaged = Reader::new(bytes).error("not what checks keep of this repository");
        let body = bytes.len().checked_sub(CHECKSUM_BYTES).and_then(|end| bytes.get(..end));
        let body = body.filter(|body| bytes.ends_with(&plain(body))).ok_or(damaged.clone())?;
        let mut reader = Reader::new(body);
        let is_ours = &reader.array::<8>()? == MAGIC
            && reader.bytes(64, "repository id")? == repository_id.as_bytes();
        if !is_ours {
            return Err(damaged);
        }
        let mut verified = Self::default();
        for _ in 0..reader.count(Id::BYTES + 1)? {
            let name = reader.id()?;
            verified.packs.insert(name, reader.signed()?);
        }
        let is_found = reader.u8()? != 0;
        let seconds = reader.signed()?;
        let nanoseconds = reader.varint_to(999_999_999, "nanoseconds")? as u32;
        verified.found = is_found.then_some(FileTime { seconds, nanoseconds });
        for _ in 0..reader.count(Id::BYTES + 1)? {
            let name = reader.id()?;
            let count = reader.count(1)?;
            let frames = (0..count).map(|_| reader.varint()).collect::<Result<_, _>>()?;
            verified.damaged.frames.insert(name, frames);
        }
        for _ in 0..reader.count(Id::BYTES)? {
            verified.damaged.loose.insert(reader.id()?);
        }
        reader.finish()?;
        Ok(verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 32])
    }

    fn at(seconds: i64) -> FileTime {
        FileTime { seconds, nanoseconds: 7 }
    }

    fn read(name: u8, frames: &[u64], is_good: bool) -> Learnt {
        let frames = frames.iter().copied().collect();
        Learnt { packs: [(id(name), (frames, is_good))].into(), ..Learnt::default() }
    }

    #[test]
    fn what_is_kept_comes_back_for_its_repository_alone_and_only_whole() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("cache/a.verified");
        assert_eq!(Verified::load(&path, "ab"), Verified::default());
        let mut verified = Verified::default();
        verified.learn(&read(1, &[], true), at(-5));
        verified.learn(&read(2, &[64, 1 << 40], false), at(9));
        let loose = Some([id(3)].into());
        verified.learn(&Learnt { loose, is_damaged: Some(true), ..Learnt::default() }, at(10));
        verified.save(&path, "ab").expect("saved");
        assert_eq!(Verified::load(&path, "ab"), verified);
        assert_eq!(Verified::load(&path, "cd"), Verified::default());
        let bytes = std::fs::read(&path).expect("read");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            assert!(Verified::decode(&flipped, "ab").is_err(), "{at}");
            assert!(Verified::decode(&bytes[..at], "ab").is_err(), "{at}");
        }
    }

    #[test]
    fn a_pack_is_what_was_found_last() {
        let mut verified = Verified::default();
        verified.learn(&read(1, &[], true), at(5));
        let sound = verified.damage();
        verified.learn(&read(1, &[64], false), at(6));
        assert!(verified.packs.is_empty() && verified.damaged.frames[&id(1)].contains(&64));
        assert_ne!(verified.damage(), sound);
        // Another copy of it took its place.
        verified.learn(&read(1, &[], true), at(7));
        assert_eq!(verified.packs[&id(1)], 7);
        assert!(verified.damaged.is_empty());
        let listed = Some(BTreeSet::new());
        verified.learn(&Learnt { listed, ..Learnt::default() }, at(8));
        assert!(verified.packs.is_empty(), "it is gone");
    }
}
