//! Trees: one directory, its entries sorted by name, each with metadata and content id.
//!
//! Invariant: one encoding for each directory; a decoder takes nothing else. Format:
//! runup-repository(5), TREES.

use super::codec::{DecodeError, Reader, put_bytes, put_length, put_signed, put_varint};
use crate::base::id::Id;
use crate::base::limits::{
    LINK_TARGET_BYTES_MAX, NAME_BYTES_MAX, XATTR_INLINE_BYTES_MAX, XATTR_VALUE_BYTES_MAX,
    XATTRS_MAX,
};
use crate::base::path::is_name;
use crate::base::time::FileTime;

/// One line of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in the directory: any bytes but `/` and NUL.
    pub name: Box<[u8]>,
    /// Owner, permission bits, time, extended attributes.
    pub metadata: Metadata,
    /// What stands there.
    pub node: Node,
}

/// What every entry has, whatever its type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Permission bits with setuid, setgid and sticky, at most `0o7777`.
    pub mode: u16,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: FileTime,
    /// Extended attributes, ACLs included, sorted by name.
    pub xattrs: Vec<Xattr>,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// The full name, such as `user.comment`.
    pub name: Box<[u8]>,
    /// Its value.
    pub value: XattrValue,
}

/// The value of an extended attribute: in the tree up to 512 bytes, else a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XattrValue {
    /// The value itself, at most [`XATTR_INLINE_BYTES_MAX`] bytes.
    Inline(Box<[u8]>),
    /// A longer value, stored as a blob.
    Blob {
        /// Bytes of the value.
        size_bytes: u64,
        /// The blob.
        id: Id,
    },
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory {
        /// Its tree.
        tree: Id,
    },
    /// A regular file.
    File {
        /// Bytes of the content.
        size_bytes: u64,
        /// Its blob.
        id: Id,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to; any bytes but NUL.
        target: Box<[u8]>,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

impl Node {
    /// The word for the type, as in JSON.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "dir",
            Self::File { .. } => "file",
            Self::Symlink { .. } => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::CharDevice { .. } => "chardev",
            Self::BlockDevice { .. } => "dev",
        }
    }

    const fn number(&self) -> u8 {
        match self {
            Self::Directory { .. } => 1,
            Self::File { .. } => 2,
            Self::Symlink { .. } => 3,
            Self::Fifo => 4,
            Self::Socket => 5,
            Self::CharDevice { .. } => 6,
            Self::BlockDevice { .. } => 7,
        }
    }
}

impl Entry {
    /// Whether the entry is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.node, Node::Directory { .. })
    }

    /// Appends the entry to the encoding of its tree.
    ///
    /// The caller keeps the order of names, and the bounds that [`Entry::decode`] checks.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, &self.name);
        out.push(self.node.number());
        self.metadata.encode(out);
        match &self.node {
            Node::Directory { tree } => out.extend_from_slice(tree.as_bytes()),
            Node::File { size_bytes, id } => {
                put_varint(out, *size_bytes);
                out.extend_from_slice(id.as_bytes());
            }
            Node::Symlink { target } => put_bytes(out, target),
            Node::Fifo | Node::Socket => {}
            Node::CharDevice { major, minor } | Node::BlockDevice { major, minor } => {
                put_varint(out, u64::from(*major));
                put_varint(out, u64::from(*minor));
            }
        }
    }

    /// Takes one entry.
    ///
    /// # Errors
    ///
    /// The bytes are not the one encoding of an entry.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let name = decode_name(reader)?;
        Self::decode_named(name, reader)
    }

    fn decode_named(name: &[u8], reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let number_at = reader.error("unknown entry type");
        let number = reader.u8()?;
        let metadata = Metadata::decode(reader)?;
        let device = |reader: &mut Reader<'_>| -> Result<(u32, u32), DecodeError> {
            let mut half = || reader.varint_to(u64::from(u32::MAX), "device number too large");
            let (major, minor) = (half()?, half()?);
            Ok((major as u32, minor as u32))
        };
        let node = match number {
            1 => Node::Directory { tree: reader.id()? },
            2 => Node::File { size_bytes: reader.varint()?, id: reader.id()? },
            3 => Node::Symlink { target: decode_target(reader)? },
            4 => Node::Fifo,
            5 => Node::Socket,
            6 => device(reader).map(|(major, minor)| Node::CharDevice { major, minor })?,
            7 => device(reader).map(|(major, minor)| Node::BlockDevice { major, minor })?,
            _ => return Err(number_at),
        };
        Ok(Self { name: name.into(), metadata, node })
    }
}

fn decode_name<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let at = reader.error("entry has a name that cannot stand in a directory");
    let name = reader.bytes(NAME_BYTES_MAX, "entry name too long")?;
    if is_name(name) { Ok(name) } else { Err(at) }
}

fn decode_target(reader: &mut Reader<'_>) -> Result<Box<[u8]>, DecodeError> {
    let at = reader.error("link target empty or with a NUL");
    let target = reader.bytes(LINK_TARGET_BYTES_MAX, "link target too long")?;
    if target.is_empty() || target.contains(&0) { Err(at) } else { Ok(target.into()) }
}

impl Metadata {
    /// Appends the metadata to the encoding of an entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.mode));
        put_varint(out, u64::from(self.uid));
        put_varint(out, u64::from(self.gid));
        put_signed(out, self.mtime.seconds);
        put_varint(out, u64::from(self.mtime.nanoseconds));
        put_length(out, self.xattrs.len());
        for xattr in &self.xattrs {
            put_bytes(out, &xattr.name);
            match &xattr.value {
                XattrValue::Inline(value) => put_bytes(out, value),
                XattrValue::Blob { size_bytes, id } => {
                    put_varint(out, *size_bytes);
                    out.extend_from_slice(id.as_bytes());
                }
            }
        }
    }

    /// Takes the metadata of an entry.
    ///
    /// # Errors
    ///
    /// The bytes are not the one encoding of metadata.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mode = reader.varint_to(0o7777, "mode has more than permission bits")? as u16;
        let uid = reader.varint_to(u64::from(u32::MAX), "uid too large")? as u32;
        let gid = reader.varint_to(u64::from(u32::MAX), "gid too large")? as u32;
        let seconds = reader.signed()?;
        let most = u64::from(FileTime::NANOSECONDS_PER_SECOND) - 1;
        let nanoseconds = reader.varint_to(most, "nanoseconds of a second or more")? as u32;
        let count_at = reader.error("too many extended attributes");
        let count = reader.count(2)?;
        if count > XATTRS_MAX {
            return Err(count_at);
        }
        let mut xattrs: Vec<Xattr> = Vec::with_capacity(count);
        for _ in 0..count {
            let at = reader.error("extended attributes out of order");
            let xattr = Xattr::decode(reader)?;
            if xattrs.last().is_some_and(|last| last.name >= xattr.name) {
                return Err(at);
            }
            xattrs.push(xattr);
        }
        Ok(Self { mode, uid, gid, mtime: FileTime { seconds, nanoseconds }, xattrs })
    }
}

impl Xattr {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.error("extended attribute name empty or with a NUL");
        let name = reader.bytes(NAME_BYTES_MAX, "extended attribute name too long")?;
        if name.is_empty() || name.contains(&0) {
            return Err(at);
        }
        let most = XATTR_VALUE_BYTES_MAX as u64;
        let size_bytes = reader.varint_to(most, "extended attribute too long")?;
        let value = if size_bytes <= XATTR_INLINE_BYTES_MAX as u64 {
            XattrValue::Inline(reader.take(size_bytes as usize)?.into())
        } else {
            XattrValue::Blob { size_bytes, id: reader.id()? }
        };
        Ok(Self { name: name.into(), value })
    }
}

/// Encodes a tree from its entries, sorted by name without duplicates.
pub fn encode<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        entry.encode(&mut out);
    }
    out
}

/// The entries of an encoded tree, one at a time; stops after the first error.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    reader: Reader<'a>,
    last_name: &'a [u8],
    failed: bool,
}

/// Reads the entries of an encoded tree.
pub fn entries(bytes: &[u8]) -> Entries<'_> {
    Entries { reader: Reader::new(bytes), last_name: &[], failed: false }
}

/// Checks a whole encoded tree before any of its entries is used, and counts them.
///
/// # Errors
///
/// The bytes are not the one encoding of a directory: names that cannot stand there, duplicates,
/// wrong order, values out of bounds.
pub fn validate(bytes: &[u8]) -> Result<usize, DecodeError> {
    entries(bytes).try_fold(0, |count, entry| entry.map(|_| count + 1))
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_at_end() {
            return None;
        }
        let at = self.reader.error("entries out of order, or a name twice");
        let decoded = decode_name(&mut self.reader).and_then(|name| {
            let entry = Entry::decode_named(name, &mut self.reader)?;
            if name <= self.last_name {
                return Err(at);
            }
            self.last_name = name;
            Ok(entry)
        });
        self.failed = decoded.is_err();
        Some(decoded)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn id() -> impl Strategy<Value = Id> {
        any::<[u8; 32]>().prop_map(Id::from_bytes)
    }

    fn name() -> impl Strategy<Value = Box<[u8]>> {
        vec(any::<u8>().prop_filter("no / or NUL", |b| !matches!(b, b'/' | 0)), 1..12)
            .prop_filter("a name", |name| is_name(name))
            .prop_map(Vec::into_boxed_slice)
    }

    fn xattr() -> impl Strategy<Value = Xattr> {
        let value = prop_oneof![
            vec(any::<u8>(), 0..600)
                .prop_filter("inline", |v| v.len() <= XATTR_INLINE_BYTES_MAX)
                .prop_map(|v| XattrValue::Inline(v.into())),
            (513_u64..65536, id()).prop_map(|(size_bytes, id)| XattrValue::Blob { size_bytes, id }),
        ];
        (name(), value).prop_map(|(name, value)| Xattr { name, value })
    }

    fn metadata() -> impl Strategy<Value = Metadata> {
        let time = (any::<i64>(), 0..1_000_000_000_u32);
        (0..0o10000_u16, any::<u32>(), any::<u32>(), time, vec(xattr(), 0..3)).prop_map(
            |(mode, uid, gid, (seconds, nanoseconds), mut xattrs)| {
                xattrs.sort_by(|a, b| a.name.cmp(&b.name));
                xattrs.dedup_by(|a, b| a.name == b.name);
                Metadata { mode, uid, gid, mtime: FileTime { seconds, nanoseconds }, xattrs }
            },
        )
    }

    fn node() -> impl Strategy<Value = Node> {
        prop_oneof![
            id().prop_map(|tree| Node::Directory { tree }),
            (any::<u64>(), id()).prop_map(|(size_bytes, id)| Node::File { size_bytes, id }),
            vec(1_u8.., 1..40).prop_map(|target| Node::Symlink { target: target.into() }),
            Just(Node::Fifo),
            Just(Node::Socket),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::CharDevice { major, minor }),
            any::<(u32, u32)>().prop_map(|(major, minor)| Node::BlockDevice { major, minor }),
        ]
    }

    pub(crate) fn tree() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (name(), metadata(), node()).prop_map(|(name, metadata, node)| Entry {
            name,
            metadata,
            node,
        });
        vec(entry, 0..8).prop_map(|mut entries| {
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            entries.dedup_by(|a, b| a.name == b.name);
            entries
        })
    }

    proptest! {
        #[test]
        fn trees_round_trip(tree in tree()) {
            let bytes = encode(&tree);
            prop_assert_eq!(validate(&bytes), Ok(tree.len()));
            prop_assert_eq!(entries(&bytes).collect::<Result<Vec<_>, _>>(), Ok(tree));
        }

        #[test]
        fn what_decodes_is_canonical(tree in tree(), at: usize, byte: u8) {
            let mut bytes = encode(&tree);
            if !bytes.is_empty() {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok(decoded) = entries(&bytes).collect::<Result<Vec<_>, _>>() {
                prop_assert_eq!(encode(&decoded), bytes);
            }
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let _checked = validate(&bytes);
        }
    }

    #[test]
    fn hostile_names_orders_and_bounds_are_refused() {
        let entry = |name: &[u8]| Entry {
            name: name.into(),
            metadata: Metadata::default(),
            node: Node::Fifo,
        };
        for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0b", &[b'x'; 256]] {
            assert!(validate(&encode(&[entry(name)])).is_err(), "{name:?}");
        }
        assert!(validate(&encode(&[entry(b"b"), entry(b"a")])).is_err());
        assert!(validate(&encode(&[entry(b"a"), entry(b"a")])).is_err());
        let mut mode = entry(b"a");
        mode.metadata.mode = 0o10000;
        assert!(validate(&encode(&[mode])).is_err());
    }
}
