//! Object ids from bytes: whole, as a stream, or from the chaining values of aligned pieces.
//!
//! Invariant: all three give the same id for the same bytes.

use blake3::hazmat::{ChainingValue, HasherExt, Mode};

use super::id::Id;
use super::kind::Kind;
use super::limits::PIECE_BYTES;

/// Computes the id of an object from all of its bytes.
pub fn object_id(kind: Kind, bytes: &[u8]) -> Id {
    match kind.id_context() {
        None => Id::from_bytes(*blake3::hash(bytes).as_bytes()),
        Some(context) => {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(bytes);
            Id::from_bytes(*hasher.finalize().as_bytes())
        }
    }
}

/// Computes the BLAKE3 hash of bytes that are not an object, as `b3sum` prints it.
pub fn plain(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Computes the chaining value of the piece with this number (offset / 1 MiB) of an object.
///
/// `bytes` is 1 MiB, or less for the last piece; never empty. An object of one piece has no
/// chaining value: its id comes from [`object_id`].
///
/// Source: the BLAKE3 paper, section 2.4, and `blake3::hazmat`.
pub fn piece_value(kind: Kind, number: u64, bytes: &[u8]) -> ChainingValue {
    piece_value_of(kind, number, [bytes])
}

/// As [`piece_value`], of a piece whose bytes lie in several places.
pub fn piece_value_of<'a>(
    kind: Kind,
    number: u64,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> ChainingValue {
    let mut hasher = match kind.id_context() {
        None => blake3::Hasher::new(),
        Some(context) => blake3::Hasher::new_derive_key(context),
    };
    hasher.set_input_offset(number * PIECE_BYTES as u64);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize_non_root()
}

/// Joins the chaining values of consecutive pieces, from the first on, into the object's id.
///
/// Holds one value for each set bit of the number of pieces.
#[derive(Debug)]
pub struct PieceTree {
    context_key: Option<[u8; 32]>,
    stack: Vec<ChainingValue>,
    pieces: u64,
}

impl PieceTree {
    /// Starts the tree of an object of this kind.
    pub fn new(kind: Kind) -> Self {
        let context_key = kind.id_context().map(blake3::hazmat::hash_derive_key_context);
        Self { context_key, stack: Vec::new(), pieces: 0 }
    }

    fn mode(&self) -> Mode<'_> {
        self.context_key.as_ref().map_or(Mode::Hash, Mode::DeriveKeyMaterial)
    }

    /// Adds the value of the next piece.
    pub fn push(&mut self, value: ChainingValue) {
        // Merging is put off until the next piece comes, because the last merge makes the root.
        while self.stack.len() > self.pieces.count_ones() as usize {
            self.merge_top();
        }
        self.stack.push(value);
        self.pieces += 1;
    }

    fn merge_top(&mut self) {
        if let (Some(right), Some(left)) = (self.stack.pop(), self.stack.pop()) {
            self.stack.push(blake3::hazmat::merge_subtrees_non_root(&left, &right, self.mode()));
        }
    }

    /// The id; `None` for fewer than two pieces, which have no root of this form.
    pub fn finish(mut self) -> Option<Id> {
        while self.stack.len() > 2 {
            self.merge_top();
        }
        let right = self.stack.pop()?;
        let left = self.stack.pop()?;
        let root = blake3::hazmat::merge_subtrees_root(&left, &right, self.mode());
        Some(Id::from_bytes(*root.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_id_of_the_whole() {
        let bytes: Vec<u8> = (0..9 * PIECE_BYTES + 17).map(|i| ((i * i) >> 7) as u8).collect();
        for kind in Kind::ALL {
            for length in [PIECE_BYTES + 1, 2 * PIECE_BYTES, 3 * PIECE_BYTES, 7 * PIECE_BYTES + 5]
                .into_iter()
                .chain([8 * PIECE_BYTES, bytes.len()])
            {
                let mut tree = PieceTree::new(kind);
                for (number, piece) in bytes[..length].chunks(PIECE_BYTES).enumerate() {
                    tree.push(piece_value(kind, number as u64, piece));
                }
                assert_eq!(tree.finish(), Some(object_id(kind, &bytes[..length])), "{kind}");
            }
        }
    }

    #[test]
    fn kinds_do_not_share_ids_and_blobs_are_plain_blake3() {
        let ids: std::collections::BTreeSet<Id> =
            Kind::ALL.into_iter().map(|kind| object_id(kind, b"same")).collect();
        assert_eq!(ids.len(), Kind::ALL.len());
        assert_eq!(object_id(Kind::Blob, b"same").as_bytes(), &plain(b"same"));
    }
}
