//! From header to header: each member becomes an entry, a change of one, or is left out and told.
//!
//! Invariant: no path reaches the tree that has a `..` in it, and after each member the stream
//! stands at the next header.

use crossbeam_channel::Sender;

use super::content::Contents;
use super::done::Done;
use super::metadata::{attributes, metadata};
use super::stream::Archive;
use super::tree_builder::BuildError;
use super::{ImportError, ImportOptions};
use crate::base::limits::{DEPTH_MAX, LINK_TARGET_BYTES_MAX, NAME_BYTES_MAX, OBJECT_BYTES_MAX};
use crate::base::monitor::{Action, Monitor};
use crate::format::tar::{
    BLOCK_BYTES, Decoded, Decoder, Extent, MapPlace, Member, MemberKind, Step, TarError, padding,
    sparse,
};
use crate::format::tree::Node;
use crate::store::ObjectSink;

/// Most bytes of a name that stand in a message.
const SHOWN_BYTES_MAX: usize = 200;
/// What GNU tar puts at the start of a volume: a label, no file.
const VOLUME_LABEL: u8 = b'V';

/// An archive that is being read.
pub(super) struct Import<'a, 'm, S: ?Sized> {
    archive: Archive<'a>,
    options: ImportOptions,
    contents: Contents<'a, S>,
    done: Done<'m>,
    is_absolute_told: bool,
}

/// Where a member stands, for messages.
struct Place {
    member: String,
    offset: u64,
}

impl Place {
    fn new(path: &[u8], offset: u64) -> Self {
        let shown = path.get(..SHOWN_BYTES_MAX).unwrap_or(path);
        Self { member: format!("{:?}", String::from_utf8_lossy(shown)), offset }
    }

    fn error(&self, source: TarError) -> ImportError {
        ImportError::Member { member: self.member.clone(), offset: self.offset, source }
    }

    fn over_limit(&self, what: &'static str) -> ImportError {
        self.error(TarError::OverLimit(what))
    }
}

impl<'a, 'm: 'a, S: ObjectSink + ?Sized> Import<'a, 'm, S> {
    pub(super) fn new(
        archive: Archive<'a>,
        options: ImportOptions,
        sink: &'a mut S,
        queue: Option<Sender<Vec<u8>>>,
        monitor: &'m dyn Monitor,
    ) -> Self {
        let done = Done::new(monitor);
        let contents = Contents { sink, queue, monitor };
        Self { archive, options, contents, done, is_absolute_told: false }
    }

    /// Reads all members; after this only trees are to be stored.
    pub(super) fn read(mut self) -> Result<Done<'m>, ImportError> {
        let mut decoder = Decoder::default();
        let mut has_end = false;
        loop {
            if self.done.monitor.is_cancelled() {
                return Err(ImportError::Cancelled);
            }
            let offset = self.archive.offset();
            let block = match self.archive.block() {
                Ok(Some(block)) => block,
                Ok(None) if has_end && !decoder.expects_member() => break,
                Err(ImportError::Truncated { .. }) | Ok(None) if offset == 0 => {
                    return Err(ImportError::NotAnArchive);
                }
                Ok(None) => {
                    let what = "no end of the archive".to_owned();
                    return Err(ImportError::Truncated { what, offset });
                }
                Err(error) => return Err(error),
            };
            let place = || Place { member: "a header".to_owned(), offset };
            let step = match decoder.block(&block) {
                Err(_) if offset == 0 => return Err(ImportError::NotAnArchive),
                step => step.map_err(|error| place().error(error))?,
            };
            match step {
                Step::End if self.options.ignore_zeros => has_end = true,
                Step::End => break,
                Step::Extension { kind, size_bytes } => {
                    let content = self.archive.extension(size_bytes)?;
                    let taken = decoder.extension(kind, &content);
                    taken.map_err(|error| place().error(error))?;
                    has_end = false;
                }
                Step::Member(decoded) => {
                    self.member(*decoded, offset)?;
                    has_end = false;
                }
            }
        }
        self.archive.drain()?;
        Ok(self.done)
    }

    fn member(&mut self, mut decoded: Decoded, offset: u64) -> Result<(), ImportError> {
        let place = Place::new(&decoded.member.path, offset);
        let mut content_bytes = decoded.stored_bytes;
        let map = self.map(&mut decoded, &mut content_bytes, &place)?;
        let content_end = self.archive.offset().checked_add(content_bytes);
        content_end.ok_or_else(|| place.over_limit("a file over 16 TiB"))?;
        let Decoded { mut member, stored_bytes, .. } = decoded;
        let bytes = std::mem::take(&mut member.path);
        let path = self.components(&bytes, &place)?;
        let stripped = self.options.strip_components;
        let is_wanted = stripped == 0 || path.len() > stripped;
        let path = path.get(stripped..).unwrap_or_default();
        if is_wanted && !self.is_left_out(path, &member) {
            content_bytes -= self.entry(path, member, map.as_deref(), content_bytes, &place)?;
        }
        self.archive.skip(content_bytes)?;
        self.archive.skip(padding(stored_bytes) as u64)
    }

    /// The checked map of a sparse file, with what of it stands in the content.
    fn map(
        &mut self,
        decoded: &mut Decoded,
        content_bytes: &mut u64,
        place: &Place,
    ) -> Result<Option<Vec<Extent>>, ImportError> {
        let place_of_map = decoded.map;
        let Some((size_bytes, mut extents)) = decoded.take_map() else { return Ok(None) };
        match place_of_map {
            MapPlace::Header => {}
            MapPlace::Blocks => loop {
                let block = self.archive.expected_block()?;
                let has_more = sparse::gnu_block(&block, &mut extents);
                if !has_more.map_err(|error| place.error(error))? {
                    break;
                }
            },
            MapPlace::Content => {
                let mut text = sparse::TextMap::default();
                loop {
                    let left = content_bytes.checked_sub(BLOCK_BYTES as u64);
                    let too_long = TarError::Malformed("a sparse map is longer than its member");
                    *content_bytes = left.ok_or_else(|| place.error(too_long))?;
                    let block = self.archive.expected_block()?;
                    let whole = text.block(&block).map_err(|error| place.error(error))?;
                    if let Some(whole) = whole {
                        extents = whole;
                        break;
                    }
                }
            }
        }
        let checked = sparse::check(extents, size_bytes, *content_bytes);
        checked.map(Some).map_err(|error| place.error(error))
    }

    /// The components of a path in the archive: never absolute, never `..`.
    fn components<'p>(
        &mut self,
        path: &'p [u8],
        place: &Place,
    ) -> Result<Vec<&'p [u8]>, ImportError> {
        if path.starts_with(b"/") && !self.is_absolute_told {
            self.is_absolute_told = true;
            self.done.monitor.note(format_args!("`/` is taken off the start of paths"));
        }
        let parts = path.split(|byte| *byte == b'/');
        let parts: Vec<_> = parts.filter(|part| !part.is_empty() && *part != b".").collect();
        if parts.contains(&&b".."[..]) {
            let Place { member, offset } = place;
            let what = "a `..` in the path";
            return Err(ImportError::Hostile { member: member.clone(), offset: *offset, what });
        }
        if parts.len() > DEPTH_MAX {
            return Err(place.over_limit("a path of over 4096 levels"));
        }
        if parts.iter().any(|part| part.len() > NAME_BYTES_MAX) {
            return Err(place.over_limit("a name over 255 bytes"));
        }
        Ok(parts)
    }

    /// Whether a member is no entry of a tree, which is told unless no tar would make one of it.
    fn is_left_out(&mut self, path: &[&[u8]], member: &Member) -> bool {
        if let MemberKind::Other(flag) = member.kind {
            if flag != VOLUME_LABEL {
                let reason = format!("a member of unknown type {:?}", char::from(flag));
                self.done.fail("unknown_type", &path.join(&b'/'), reason);
            }
            return true;
        }
        if path.is_empty() && member.kind != MemberKind::Directory {
            self.done.fail("bad_path", b"", "a member without a path that is no directory".into());
            return true;
        }
        false
    }

    /// Makes an entry of a member; the bytes of its content that were read.
    fn entry(
        &mut self,
        path: &[&[u8]],
        mut member: Member,
        map: Option<&[Extent]>,
        content_bytes: u64,
        place: &Place,
    ) -> Result<u64, ImportError> {
        let joined = path.join(&b'/');
        let too_deep = |_: BuildError| place.over_limit("a path of over 4096 levels");
        if let MemberKind::HardLink { target } = &member.kind {
            self.hard_link(path, target, place)?;
            return Ok(0);
        }
        let kept = attributes(&mut member).map_err(|error| place.error(error))?;
        if let Some(error) = kept.1 {
            self.done.errors += 1;
            self.done.tell("acl", &joined, format!("left out: {error}"));
        }
        let metadata = metadata(&member, kept.0, self.contents.sink)?;
        self.done.owner(&member);
        let node = match member.kind {
            MemberKind::Directory => {
                self.done.monitor.path(Action::New, &joined, 0);
                let put = self.done.builder.insert_directory(path, metadata);
                return put.map(|()| 0).map_err(too_deep);
            }
            MemberKind::File { size_bytes, .. } => {
                if size_bytes > OBJECT_BYTES_MAX {
                    return Err(place.over_limit("a file over 16 TiB"));
                }
                let id = match map {
                    None => self.contents.store(&mut self.archive, size_bytes)?,
                    Some(map) => self.contents.store_sparse(&mut self.archive, size_bytes, map)?,
                };
                Node::File { size_bytes, id }
            }
            MemberKind::Symlink { target } => match target.len() {
                0 => return Err(place.error(TarError::Malformed("a link to nothing"))),
                1..=LINK_TARGET_BYTES_MAX => Node::Symlink { target: target.into() },
                _ => return Err(place.over_limit("a link target over 4095 bytes")),
            },
            MemberKind::Fifo => Node::Fifo,
            MemberKind::CharDevice { major, minor } => Node::CharDevice { major, minor },
            MemberKind::BlockDevice { major, minor } => Node::BlockDevice { major, minor },
            MemberKind::HardLink { .. } | MemberKind::Other(_) => return Ok(0),
        };
        let read_bytes = if matches!(node, Node::File { .. }) { content_bytes } else { 0 };
        self.done.bytes_read += read_bytes;
        self.done.monitor.path(Action::New, &joined, read_bytes);
        self.done.builder.insert(path, metadata, node).map_err(too_deep)?;
        Ok(read_bytes)
    }

    fn hard_link(
        &mut self,
        path: &[&[u8]],
        target: &[u8],
        place: &Place,
    ) -> Result<(), ImportError> {
        let joined = path.join(&b'/');
        let parts = self.components(target, place)?;
        let parts = parts.get(self.options.strip_components..).unwrap_or_default();
        match self.done.builder.link(path, parts) {
            Ok(()) => self.done.monitor.path(Action::New, &joined, 0),
            Err(BuildError::NoTarget) => {
                let target = String::from_utf8_lossy(target).into_owned();
                let reason = format!("a hard link to {target:?}, which is no file before it");
                self.done.fail("missing_link_target", &joined, reason);
            }
            Err(_) => return Err(place.over_limit("a path of over 4096 levels")),
        }
        Ok(())
    }
}
