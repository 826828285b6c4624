//! Kinds of objects, each with an id space of its own.

use std::fmt;
use std::str::FromStr;

/// What an object is. Its number is what packs store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The bytes of a file, or a chunk of them.
    Blob = 1,
    /// One directory.
    Tree = 2,
    /// A root tree with where, when and by whom it was taken.
    Snapshot = 3,
    /// The groups of paths of a snapshot that share an inode.
    Links = 4,
    /// A page of the list of a long object.
    Page = 5,
    /// A chunk of a long object that is not a blob.
    Part = 6,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Blob, Self::Tree, Self::Snapshot, Self::Links, Self::Page, Self::Part];

    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The word for it, as in loose objects and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Tree => "tree",
            Self::Snapshot => "snapshot",
            Self::Links => "links",
            Self::Page => "page",
            Self::Part => "part",
        }
    }

    /// The BLAKE3 derive-key context of ids of this kind; `None` for blobs, whose id is plain BLAKE3.
    pub const fn id_context(self) -> Option<&'static str> {
        match self {
            Self::Blob => None,
            Self::Tree => Some("RunUp 2026-11-22 object id: tree"),
            Self::Snapshot => Some("RunUp 2026-11-22 object id: snapshot"),
            Self::Links => Some("RunUp 2026-11-22 object id: links"),
            Self::Page => Some("RunUp 2026-11-22 object id: page"),
            Self::Part => Some("RunUp 2026-11-22 object id: part"),
        }
    }

    /// The kind that the chunks of a long object of this kind have.
    #[must_use]
    pub const fn chunk_kind(self) -> Self {
        match self {
            Self::Blob => Self::Blob,
            _ => Self::Part,
        }
    }

    /// Whether a long object of this kind is stored as a list; chunks and pages never are.
    pub const fn may_be_list(self) -> bool {
        !matches!(self, Self::Page | Self::Part)
    }

    /// Whether objects of this kind go to packs of metadata rather than of file data.
    pub const fn is_metadata(self) -> bool {
        !matches!(self, Self::Blob)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or(())
    }
}

impl schemars::JsonSchema for Kind {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "kind".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": Self::ALL.map(Self::word) })
    }
}

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(|()| serde::de::Error::custom("no kind of object"))
    }
}

impl serde::Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}
