//! From blocks to members: headers, with the extended headers and long names before them.
//!
//! Invariant: an extended header bears on the next member and on nothing in between: its own size,
//! and those of the headers that follow it, are the ones their blocks state.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::block::{self, Dialect, bytes_of, count, number, text, typeflag};
use super::pax::Records;
use super::sparse::{self, Extent};
use super::{AclTexts, Block, EXTENSION_BYTES_MAX, Member, MemberKind, TarError};
use crate::base::time::FileTime;

/// What a block turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Zeros: the end of the archive, unless more is expected.
    End,
    /// A header whose content bears on a later one. The content is to be read and handed to
    /// [`Decoder::extension`].
    Extension {
        /// What it is.
        kind: Extension,
        /// Its bytes, at most [`EXTENSION_BYTES_MAX`].
        size_bytes: u64,
    },
    /// A member.
    Member(Box<Decoded>),
}

/// A header that says something about others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Records about the next member.
    Local,
    /// Records about all members from here.
    Global,
    /// The path of the next member.
    LongName,
    /// The link target of the next member.
    LongTarget,
}

/// A member with what is needed to read its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The member. A sparse file's stretches are those known so far, not checked yet.
    pub member: Member,
    /// Bytes that follow the header, the padding aside.
    pub stored_bytes: u64,
    /// Where the map of a sparse file stands.
    pub map: MapPlace,
}

/// Where the map of a sparse file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapPlace {
    /// In the headers, and it is whole; or the file is not sparse.
    Header,
    /// It goes on in blocks after the header, which do not count as content: [`sparse::gnu_block`].
    Blocks,
    /// In text at the start of the content: [`sparse::TextMap`].
    Content,
}

/// Reads headers in turn.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    global: Records,
    local: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_target: Option<Vec<u8>>,
}

impl Decoder {
    /// Takes the next header block.
    ///
    /// # Errors
    ///
    /// The block is no header, or one that cannot be used.
    pub fn block(&mut self, block: &Block) -> Result<Step, TarError> {
        if block::is_zero(block) {
            return match self.expects_member() {
                true => Err(TarError::Malformed("the archive ends after an extended header")),
                false => Ok(Step::End),
            };
        }
        if !block::has_right_checksum(block) {
            return Err(TarError::Malformed("the checksum of the header is wrong"));
        }
        let kind = match typeflag(block) {
            // Solaris wrote pax records under a capital letter.
            b'x' | b'X' => Extension::Local,
            b'g' => Extension::Global,
            b'L' => Extension::LongName,
            b'K' => Extension::LongTarget,
            _ => return self.member(block).map(|decoded| Step::Member(Box::new(decoded))),
        };
        let size_bytes = count(bytes_of(block, &block::SIZE))?;
        if size_bytes > EXTENSION_BYTES_MAX {
            return Err(TarError::OverLimit("an extended header is over 16 MiB"));
        }
        Ok(Step::Extension { kind, size_bytes })
    }

    /// Whether a header was read that means nothing without a member after it.
    pub fn expects_member(&self) -> bool {
        self.local.is_some() || self.long_name.is_some() || self.long_target.is_some()
    }

    /// Takes the content that [`Step::Extension`] asked for.
    ///
    /// # Errors
    ///
    /// The content is not what such a header holds.
    pub fn extension(&mut self, kind: Extension, content: &[u8]) -> Result<(), TarError> {
        let name = || -> Result<Vec<u8>, TarError> {
            let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
            match content.get(..end) {
                Some(name) if !name.is_empty() => Ok(name.to_vec()),
                _ => Err(TarError::Malformed("a long name is empty")),
            }
        };
        match kind {
            Extension::Local => self.local.get_or_insert_default().add(content)?,
            Extension::Global => self.global.add_global(content)?,
            Extension::LongName => self.long_name = Some(name()?),
            Extension::LongTarget => self.long_target = Some(name()?),
        }
        Ok(())
    }

    fn member(&mut self, block: &Block) -> Result<Decoded, TarError> {
        let records = self.local.take().unwrap_or_default().over(&self.global);
        let long_name = self.long_name.take();
        let long_target = self.long_target.take();
        let mut member = owner_and_time(block, &records)?;
        let path = match records.text(b"GNU.sparse.name")? {
            None => records.text(b"path")?,
            name => name,
        };
        member.path = match path {
            Some(path) => path.to_vec(),
            None => long_name.unwrap_or_else(|| header_path(block)),
        };
        (member.xattrs, member.acls) = attributes(&records)?;
        let target = match records.text(b"linkpath")? {
            Some(target) => target.to_vec(),
            None => long_target.unwrap_or_else(|| text(block, &block::LINK_NAME).to_vec()),
        };
        let stored_bytes = match records.number(b"size")? {
            Some(size) => size,
            // Some tars put the size of the file here, and none of its bytes after it.
            None if typeflag(block) == b'1' => 0,
            None => count(bytes_of(block, &block::SIZE))?,
        };
        let mut decoded = Decoded { member, stored_bytes, map: MapPlace::Header };
        let has_map = decoded.sparse(block, &records)?;
        if !has_map {
            decoded.member.kind =
                kind(block, &decoded.member.path, target, stored_bytes, &records)?;
        }
        let has_content = matches!(decoded.member.kind, MemberKind::File { .. })
            || matches!(decoded.member.kind, MemberKind::Other(_))
            || typeflag(block) == b'D';
        if decoded.stored_bytes > 0 && !has_content {
            let what = "a member that has no content claims some: tars disagree what follows it";
            return Err(TarError::Malformed(what));
        }
        Ok(decoded)
    }
}

impl Decoded {
    /// Takes the size and the stretches known so far of a sparse file; `None` for what is none.
    pub fn take_map(&mut self) -> Option<(u64, Vec<Extent>)> {
        match &mut self.member.kind {
            MemberKind::File { size_bytes, extents: Some(extents) } => {
                Some((*size_bytes, std::mem::take(extents)))
            }
            _ => None,
        }
    }

    /// Takes the map of a sparse file from the headers; whether it is one.
    fn sparse(&mut self, block: &Block, records: &Records) -> Result<bool, TarError> {
        let is_file = matches!(typeflag(block), 0 | b'0' | b'7' | b'S');
        let mut extents = Vec::new();
        let version = (records.get(b"GNU.sparse.major"), records.get(b"GNU.sparse.minor"));
        let pax_map = records.extents()?;
        let (size_bytes, map) = if typeflag(block) == b'S' {
            let has_more = sparse::gnu_header(block, &mut extents)?;
            let map = if has_more { MapPlace::Blocks } else { MapPlace::Header };
            (Some(count(bytes_of(block, &block::GNU_REAL_SIZE))?), map)
        } else if version == (Some(b"1"), Some(b"0")) {
            (records.number(b"GNU.sparse.realsize")?, MapPlace::Content)
        } else if version.0.is_some_and(|major| major != b"0") {
            return Err(TarError::Unsupported("a sparse file in a form that is not known here"));
        } else if let Some(map) = pax_map {
            extents = map;
            (records.number(b"GNU.sparse.size")?, MapPlace::Header)
        } else {
            return Ok(false);
        };
        let size_bytes =
            size_bytes.ok_or(TarError::Malformed("a sparse file does not tell its size"))?;
        if !is_file {
            return Err(TarError::Malformed("a sparse map belongs to what is no file"));
        }
        self.map = map;
        self.member.kind = MemberKind::File { size_bytes, extents: Some(extents) };
        Ok(true)
    }
}

fn owner_and_time(block: &Block, records: &Records) -> Result<Member, TarError> {
    let id = |keyword: &[u8], field: &block::Field| -> Result<u32, TarError> {
        let number = match records.number(keyword)? {
            Some(number) => i64::try_from(number).unwrap_or(i64::MAX),
            None => number(bytes_of(block, field))?,
        };
        // Owners such as -2 are the numbers of 32 bits that look like that.
        let narrow = u32::try_from(number).ok();
        let narrow = narrow.or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned));
        narrow.ok_or(TarError::OverLimit("the number of a user or group is over 32 bits"))
    };
    let mtime = match records.time(b"mtime")? {
        Some(mtime) => mtime,
        None => FileTime { seconds: number(bytes_of(block, &block::MTIME))?, nanoseconds: 0 },
    };
    let name = |keyword: &[u8], field: &block::Field| -> Result<Vec<u8>, TarError> {
        let in_header = || match block::dialect(block) {
            Dialect::V7 => Vec::new(),
            Dialect::Ustar | Dialect::Gnu => text(block, field).to_vec(),
        };
        Ok(records.text(keyword)?.map_or_else(in_header, <[u8]>::to_vec))
    };
    let mode = number(bytes_of(block, &block::MODE))? & 0o7777;
    Ok(Member {
        mode: u16::try_from(mode).unwrap_or_default(),
        uid: id(b"uid", &block::UID)?,
        gid: id(b"gid", &block::GID)?,
        user: name(b"uname", &block::USER)?,
        group: name(b"gname", &block::GROUP)?,
        mtime,
        ..Member::default()
    })
}

fn header_path(block: &Block) -> Vec<u8> {
    let name = text(block, &block::NAME);
    let prefix = match block::dialect(block) {
        Dialect::Ustar => text(block, &block::PREFIX),
        Dialect::V7 | Dialect::Gnu => b"",
    };
    match prefix {
        b"" => name.to_vec(),
        prefix => [prefix, b"/", name].concat(),
    }
}

fn kind(
    block: &Block,
    path: &[u8],
    target: Vec<u8>,
    size_bytes: u64,
    records: &Records,
) -> Result<MemberKind, TarError> {
    let device = |records: &Records| -> Result<(u32, u32), TarError> {
        let half = |keyword: &[u8], field: &block::Field| -> Result<u32, TarError> {
            let number = match records.number(keyword)? {
                Some(number) => number,
                None => count(bytes_of(block, field))?,
            };
            let too_large = TarError::OverLimit("a device number is over 32 bits");
            u32::try_from(number).map_err(|_| too_large)
        };
        Ok((half(b"SCHILY.devmajor", &block::MAJOR)?, half(b"SCHILY.devminor", &block::MINOR)?))
    };
    Ok(match typeflag(block) {
        // Directories of v7 are told by their names; GNU tar takes contiguous files so too.
        0 | b'0' | b'7' if path.ends_with(b"/") => MemberKind::Directory,
        0 | b'0' | b'7' => MemberKind::File { size_bytes, extents: None },
        b'1' => MemberKind::HardLink { target },
        b'2' => MemberKind::Symlink { target },
        b'3' => device(records).map(|(major, minor)| MemberKind::CharDevice { major, minor })?,
        b'4' => device(records).map(|(major, minor)| MemberKind::BlockDevice { major, minor })?,
        // GNU's incremental archives list what a directory holds.
        b'5' | b'D' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        b'M' => return Err(TarError::Unsupported("the rest of a file of another volume")),
        other => MemberKind::Other(other),
    })
}

type Attributes = (Vec<(Box<[u8]>, Vec<u8>)>, AclTexts);

/// Extended attributes by the names that four tars give their records.
fn attributes(records: &Records) -> Result<Attributes, TarError> {
    let malformed = TarError::Malformed("an extended attribute has a name that is none");
    let mut found = std::collections::BTreeMap::<Box<[u8]>, Vec<u8>>::new();
    for (name, value) in records.below(b"LIBARCHIVE.xattr.") {
        let digits: &[u8] = value.trim_ascii_end();
        let end =
            digits.iter().rposition(|byte| *byte != b'=').map_or(0, |at| at.saturating_add(1));
        let value = digits.get(..end).and_then(|digits| STANDARD_NO_PAD.decode(digits).ok());
        let value = value.ok_or(TarError::Malformed("an extended attribute is not base64"))?;
        found.insert(unescape(name).into(), value);
    }
    for (name, value) in records.below(b"SCHILY.xattr.") {
        found.insert(unescape(name).into(), value.to_vec());
    }
    if let Some(value) = records.get(b"RHT.security.selinux") {
        // The text is told without the NUL that ends it in the attribute.
        let mut label = value.to_vec();
        if label.last() != Some(&0) {
            label.push(0);
        }
        found.entry(b"security.selinux"[..].into()).or_insert(label);
    }
    if found.keys().any(|name| name.is_empty() || name.contains(&0)) {
        return Err(malformed);
    }
    let acl = |keyword: &[u8]| records.get(keyword).map(<[u8]>::to_vec).unwrap_or_default();
    let acls = AclTexts { access: acl(b"SCHILY.acl.access"), default: acl(b"SCHILY.acl.default") };
    Ok((found.into_iter().collect(), acls))
}

/// A name in which `%` and two digits stand for a byte; other `%` stand for themselves.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) if *byte == b'%' => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    out
}
