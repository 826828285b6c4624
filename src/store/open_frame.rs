//! A frame that objects are still added to.
//!
//! Invariant: the bytes of an object are copied once; the table, whose length shows only at the end, is
//! put right before the first of them.

use crate::format::pack::{FrameObject, encode_table};

/// Bytes kept free for the table. A longer one moves what follows it.
const TABLE_ROOM: usize = 32 << 10;

/// Objects and their bytes, one after the other.
#[derive(Debug, Default)]
pub(super) struct OpenFrame {
    pub(super) objects: Vec<FrameObject>,
    bytes: Vec<u8>,
}

/// A frame that nothing is added to any more.
#[derive(Debug, Default)]
pub(super) struct RawFrame {
    pub(super) objects: Vec<FrameObject>,
    bytes: Vec<u8>,
    start: usize,
}

impl OpenFrame {
    /// Bytes of its objects.
    pub(super) fn length(&self) -> usize {
        self.bytes.len().saturating_sub(TABLE_ROOM)
    }

    pub(super) fn add(&mut self, object: FrameObject, bytes: &[u8]) {
        if self.objects.is_empty() {
            self.bytes.resize(TABLE_ROOM, 0);
        }
        self.objects.push(object);
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes what was added, with its table.
    pub(super) fn close(&mut self) -> RawFrame {
        let objects = std::mem::take(&mut self.objects);
        let mut bytes = std::mem::take(&mut self.bytes);
        let table = encode_table(&objects);
        let start = TABLE_ROOM.saturating_sub(table.len());
        bytes.splice(start..TABLE_ROOM, table);
        RawFrame { objects, bytes, start }
    }

    /// Gives the memory of a frame back.
    pub(super) fn reuse(&mut self, frame: RawFrame) {
        if self.objects.is_empty() {
            self.bytes = frame.bytes;
            self.bytes.clear();
        }
    }
}

impl RawFrame {
    /// Its table and objects.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::object_id;
    use crate::base::kind::Kind;
    use crate::format::pack::encode_frame;

    #[test]
    fn tables_of_any_length_stand_before_the_bytes() {
        let mut open = OpenFrame::default();
        for count in [1, 3, TABLE_ROOM / 2 - 4, TABLE_ROOM / 2, TABLE_ROOM] {
            let (mut objects, mut bodies) = (Vec::new(), Vec::new());
            for number in 0..count {
                let body = [number as u8; 3];
                let id = object_id(Kind::Blob, &body);
                let object = FrameObject { id, kind: Kind::Blob, is_list: false, length: 3 };
                open.add(object, &body);
                objects.push(object);
                bodies.extend_from_slice(&body);
            }
            assert_eq!(open.length(), 3 * count);
            let closed = open.close();
            assert_eq!(closed.objects, objects);
            assert!(closed.bytes() == encode_frame(&objects, &bodies), "{count}");
            assert_eq!(open.length(), 0);
            open.reuse(closed);
        }
    }
}
