//! From members to headers, in two dialects: pax, which holds everything, and GNU's.
//!
//! Invariant: equal members have equal headers: nothing of the process or the clock is in them.

use super::block::{self, BlockWriter, octal_max};
use super::{
    AclTexts, BLOCK_BYTES, EXTENSION_BYTES_MAX, Member, MemberKind, RECORD_BYTES, TarError, pax,
    sparse,
};
use crate::base::time::FileTime;

/// A dialect to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// POSIX.1-2001: everything is kept.
    Pax,
    /// GNU tar's own: no extended attributes, no parts of seconds.
    Gnu,
}

/// What GNU tar calls the headers that hold long names.
const LONG_NAME: &[u8] = b"././@LongLink";

/// Appends the headers of a member, the map of a sparse file included.
///
/// The content follows: all bytes of a file, or its stretches one behind the other; then
/// [`padding`] of the bytes that are the content. In pax archives the map is as long as whole blocks.
///
/// # Errors
///
/// The headers would be longer than readers accept, the path is empty, or there is a NUL in it.
pub fn encode(member: &Member, format: Format, out: &mut Vec<u8>) -> Result<(), TarError> {
    let mut path = member.path.clone();
    if member.kind == MemberKind::Directory && !path.ends_with(b"/") {
        path.push(b'/');
    }
    let target = match &member.kind {
        MemberKind::Symlink { target } | MemberKind::HardLink { target } => target.as_slice(),
        _ => b"",
    };
    if path.is_empty() || path.contains(&0) || target.contains(&0) {
        return Err(TarError::Malformed("a path that no archive can hold"));
    }
    match format {
        Format::Pax => encode_pax(member, &path, target, out),
        Format::Gnu => encode_gnu(member, &path, target, out),
    }
}

/// Bytes of zeros that follow so many bytes of content.
pub fn padding(content_bytes: u64) -> usize {
    let block = BLOCK_BYTES as u64;
    let over = content_bytes.checked_rem(block).unwrap_or_default();
    let missing = block.saturating_sub(over).checked_rem(block).unwrap_or_default();
    usize::try_from(missing).unwrap_or_default()
}

/// The end of an archive of so many bytes: two blocks of zeros, and as many as fill the record.
pub fn trailer(archive_bytes: u64) -> Vec<u8> {
    let record = RECORD_BYTES as u64;
    let end = archive_bytes.saturating_add(2 * BLOCK_BYTES as u64).next_multiple_of(record);
    vec![0; usize::try_from(end.saturating_sub(archive_bytes)).unwrap_or_default()]
}

const fn typeflag(kind: &MemberKind) -> u8 {
    match kind {
        MemberKind::File { .. } => b'0',
        MemberKind::HardLink { .. } => b'1',
        MemberKind::Symlink { .. } => b'2',
        MemberKind::CharDevice { .. } => b'3',
        MemberKind::BlockDevice { .. } => b'4',
        MemberKind::Directory => b'5',
        MemberKind::Fifo => b'6',
        MemberKind::Other(flag) => *flag,
    }
}

/// The fields that both dialects fill the same way.
fn common(member: &Member, typeflag: u8, magic: &[u8]) -> BlockWriter {
    let mut header = BlockWriter::new();
    header.octal(&block::MODE, u64::from(member.mode));
    header.text(&block::TYPEFLAG, &[typeflag]);
    header.text(&block::MAGIC, magic);
    header
}

fn device(kind: &MemberKind) -> (u32, u32) {
    match kind {
        MemberKind::CharDevice { major, minor } | MemberKind::BlockDevice { major, minor } => {
            (*major, *minor)
        }
        _ => (0, 0),
    }
}

/// Bytes of content that an archive holds of a file, its map aside.
fn stored_bytes(kind: &MemberKind) -> u64 {
    match kind {
        MemberKind::File { extents: Some(extents), .. } => {
            extents.iter().fold(0, |sum, extent| sum.saturating_add(extent.length_bytes))
        }
        MemberKind::File { size_bytes, extents: None } => *size_bytes,
        _ => 0,
    }
}

/// The records and the header of a pax member, gathered side by side.
struct Pax {
    records: Vec<u8>,
    header: BlockWriter,
}

impl Pax {
    /// A number in the header, and in a record where it does not fit.
    fn number(&mut self, keyword: &[u8], field: &block::Field, value: u64) {
        self.header.octal(field, value);
        if value > octal_max(field) {
            pax::put(&mut self.records, keyword, value.to_string().as_bytes());
        }
    }

    /// A text in the header, and in a record where it does not fit or is not ASCII. Text that is
    /// not UTF-8 has no place in a record unless it says so, and readers warn of either; so it
    /// stands in the header alone where it fits.
    fn text(&mut self, keyword: &[u8], field: &block::Field, value: &[u8], fits: bool) {
        self.header.text(field, value);
        if !fits || is_international(value) {
            pax::put(&mut self.records, keyword, value);
        }
    }
}

impl Pax {
    /// Writes the name of a member, and its path in a record where that is needed.
    fn path(&mut self, path: &[u8]) {
        let parts = split(path);
        let (prefix, name) = parts.unwrap_or((b"", path));
        self.header.text(&block::PREFIX, prefix);
        self.header.text(&block::NAME, name);
        if parts.is_none() || is_international(path) {
            pax::put(&mut self.records, b"path", path);
        }
    }

    /// Writes what a sparse file is called, its size, and the form of the map.
    fn sparse(&mut self, path: &[u8], size_bytes: u64) {
        self.header.text(&block::NAME, &[b"GNUSparseFile.0/", last_name(path)].concat());
        pax::put(&mut self.records, b"GNU.sparse.major", b"1");
        pax::put(&mut self.records, b"GNU.sparse.minor", b"0");
        pax::put(&mut self.records, b"GNU.sparse.name", path);
        pax::put(&mut self.records, b"GNU.sparse.realsize", size_bytes.to_string().as_bytes());
    }

    fn mtime(&mut self, mtime: FileTime) {
        let seconds = mtime.seconds.max(0).cast_unsigned();
        self.header.octal(&block::MTIME, seconds);
        let fits = mtime.seconds >= 0 && seconds <= octal_max(&block::MTIME);
        if !fits || mtime.nanoseconds > 0 {
            pax::put(&mut self.records, b"mtime", pax::time_text(mtime).as_bytes());
        }
    }

    fn attributes(&mut self, member: &Member) {
        let AclTexts { access, default } = &member.acls;
        for (keyword, text) in
            [(&b"SCHILY.acl.access"[..], access), (b"SCHILY.acl.default", default)]
        {
            if !text.is_empty() {
                pax::put(&mut self.records, keyword, text);
            }
        }
        for (name, value) in &member.xattrs {
            pax::put(&mut self.records, &[b"SCHILY.xattr.", &*escape(name)].concat(), value);
        }
    }
}

/// Whether text needs a record to be understood everywhere: beyond ASCII, but UTF-8.
fn is_international(text: &[u8]) -> bool {
    !text.is_ascii() && std::str::from_utf8(text).is_ok()
}

fn encode_pax(
    member: &Member,
    path: &[u8],
    target: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), TarError> {
    let header = common(member, typeflag(&member.kind), block::USTAR_MAGIC);
    let mut pax = Pax { records: Vec::new(), header };
    let target_fits = target.len() <= block::LINK_NAME.len();
    let is_binary = |value: &[u8], fits: bool| !fits && std::str::from_utf8(value).is_err();
    if is_binary(path, split(path).is_some()) || is_binary(target, target_fits) {
        pax::put(&mut pax.records, b"hdrcharset", b"BINARY");
    }
    let mut map = Vec::new();
    if let MemberKind::File { size_bytes, extents: Some(extents) } = &member.kind {
        map = sparse::encode_text(extents, *size_bytes);
        pax.sparse(path, *size_bytes);
    } else {
        pax.path(path);
    }
    pax.text(b"linkpath", &block::LINK_NAME, target, target_fits);
    pax.text(b"uname", &block::USER, &member.user, member.user.len() < block::USER.len());
    pax.text(b"gname", &block::GROUP, &member.group, member.group.len() < block::GROUP.len());
    let content_bytes = stored_bytes(&member.kind).saturating_add(map.len() as u64);
    pax.number(b"size", &block::SIZE, content_bytes);
    pax.number(b"uid", &block::UID, u64::from(member.uid));
    pax.number(b"gid", &block::GID, u64::from(member.gid));
    let (major, minor) = device(&member.kind);
    pax.number(b"SCHILY.devmajor", &block::MAJOR, u64::from(major));
    pax.number(b"SCHILY.devminor", &block::MINOR, u64::from(minor));
    pax.mtime(member.mtime);
    pax.attributes(member);
    if !pax.records.is_empty() {
        let plain = Member { mode: 0o644, ..Member::default() };
        let mut extended = common(&plain, b'x', block::USTAR_MAGIC);
        extended.text(&block::NAME, &[b"PaxHeaders/", last_name(path)].concat());
        for field in [block::UID, block::GID, block::MTIME] {
            extended.octal(&field, 0);
        }
        extension(extended, &pax.records, out)?;
    }
    out.extend_from_slice(&pax.header.finish());
    out.extend_from_slice(&map);
    Ok(())
}

fn encode_gnu(
    member: &Member,
    path: &[u8],
    target: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), TarError> {
    for (flag, field, value) in [(b'K', block::LINK_NAME, target), (b'L', block::NAME, path)] {
        if value.len() > field.len() {
            let mut long = common(&Member::default(), flag, block::GNU_MAGIC);
            long.text(&block::NAME, LONG_NAME);
            for field in [block::UID, block::GID, block::MTIME] {
                long.octal(&field, 0);
            }
            extension(long, &[value, b"\0"].concat(), out)?;
        }
    }
    let extents = match &member.kind {
        MemberKind::File { size_bytes, extents: Some(extents) } => Some((extents, *size_bytes)),
        _ => None,
    };
    let flag = if extents.is_some() { b'S' } else { typeflag(&member.kind) };
    let mut header = common(member, flag, block::GNU_MAGIC);
    header.text(&block::NAME, path);
    header.text(&block::LINK_NAME, target);
    // The last byte of these fields is a NUL.
    for (field, name) in [(block::USER, &member.user), (block::GROUP, &member.group)] {
        header.text(&field, name.get(..field.len().saturating_sub(1)).unwrap_or(name));
    }
    header.octal_or_binary(&block::SIZE, stored_bytes(&member.kind).cast_signed());
    header.octal_or_binary(&block::UID, i64::from(member.uid));
    header.octal_or_binary(&block::GID, i64::from(member.gid));
    header.octal_or_binary(&block::MTIME, member.mtime.seconds);
    let (major, minor) = device(&member.kind);
    header.octal_or_binary(&block::MAJOR, i64::from(major));
    header.octal_or_binary(&block::MINOR, i64::from(minor));
    let more = extents.map(|(extents, size)| sparse::encode_gnu(&mut header, extents, size));
    out.extend_from_slice(&header.finish());
    out.extend(more.unwrap_or_default().into_iter().flatten());
    Ok(())
}

/// Appends a header whose content bears on the next one.
fn extension(mut header: BlockWriter, content: &[u8], out: &mut Vec<u8>) -> Result<(), TarError> {
    let size_bytes = content.len() as u64;
    if size_bytes > EXTENSION_BYTES_MAX {
        return Err(TarError::OverLimit("its path and extended attributes are over 16 MiB"));
    }
    header.octal(&block::SIZE, size_bytes);
    out.extend_from_slice(&header.finish());
    out.extend_from_slice(content);
    out.resize(out.len().saturating_add(padding(size_bytes)), 0);
    Ok(())
}

/// A path as the prefix and the name of a header; `None` if it does not fit.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= block::NAME.len() {
        return Some((b"", path));
    }
    let first = path.len().saturating_sub(block::NAME.len().saturating_add(1));
    let within = path.get(first..block::PREFIX.len().saturating_add(1).min(path.len()))?;
    let at = first.saturating_add(within.iter().position(|byte| *byte == b'/')?);
    let (prefix, name) = path.split_at_checked(at)?;
    let name = name.get(1..).filter(|name| !name.is_empty())?;
    Some((prefix, name)).filter(|(prefix, _)| !prefix.is_empty())
}

/// The last component of a path, for names that only old tars would show.
fn last_name(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The name of an attribute as it stands in a keyword, which ends at the first equals sign.
fn escape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'%' => out.extend_from_slice(b"%25"),
            b'=' => out.extend_from_slice(b"%3D"),
            other => out.push(*other),
        }
    }
    out
}
