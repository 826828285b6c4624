//! Index segments merged into one, however long they are.
//!
//! Invariant: the inputs are read from front to back and the output is handed over as it comes; what
//! is held of them is one item each, one number for each pack, and the fan-out.

use std::collections::BTreeSet;

use super::{
    DAMAGED, Index, PACK_BYTES, PLACE_BYTES, encode_base, encode_frame, encode_header,
    encode_place, slot_of,
};
use crate::base::id::Id;
use crate::format::codec::DecodeError;

/// Bytes that are handed over at a time.
const WRITE_BYTES: usize = 256 << 10;

/// What a number becomes that is not carried over.
const LEFT_OUT: u32 = u32::MAX;

/// A segment to be replaced, with what its numbers become in the new one.
struct Input<'a> {
    index: Index<'a>,
    packs: Vec<u32>,
    frames: Vec<u32>,
}

/// What is carried over of all inputs.
#[derive(Default)]
struct Counts {
    packs: u32,
    frames: u32,
    deltas: u32,
    objects: u64,
}

impl<'a> Input<'a> {
    /// Numbers what is carried over of a segment, which is all that does not lie in `left_out`.
    fn new(
        index: Index<'a>,
        left_out: &BTreeSet<Id>,
        counts: &mut Counts,
    ) -> Result<Self, DecodeError> {
        let number = |count: &mut u32| {
            let number = *count;
            *count = number.checked_add(1).filter(|count| *count < LEFT_OUT).ok_or(DAMAGED)?;
            Ok::<u32, DecodeError>(number)
        };
        let mut packs = Vec::with_capacity(index.packs as usize);
        for pack in 0..index.packs {
            packs.push(match left_out.contains(&index.pack(pack)?.name) {
                true => LEFT_OUT,
                false => number(&mut counts.packs)?,
            });
        }
        let mut frames = Vec::with_capacity(index.frames as usize);
        for frame in 0..index.frames {
            let (pack, _) = index.frame(frame)?;
            frames.push(match packs.get(pack as usize) {
                Some(&LEFT_OUT) => LEFT_OUT,
                _ => number(&mut counts.frames)?,
            });
        }
        let input = Self { index, packs, frames };
        for delta in 0..index.deltas {
            if input.frame(index.delta(delta)?.0)? != LEFT_OUT {
                number(&mut counts.deltas)?;
            }
        }
        if left_out.is_empty() {
            counts.objects += index.objects;
            return Ok(input);
        }
        for object in 0..index.objects {
            let is_kept = input.frame(index.raw_place(object)?.0)? != LEFT_OUT;
            counts.objects += u64::from(is_kept);
        }
        Ok(input)
    }

    /// What the number of a frame becomes.
    fn frame(&self, number: u32) -> Result<u32, DecodeError> {
        self.frames.get(number as usize).copied().ok_or(DAMAGED)
    }
}

/// Writes the segment that covers all that these segments cover, but for the packs in `left_out`, and
/// replaces them and what they replaced. `salt` is random, so that no segment's name ever recurs.
///
/// Costs three passes over the ids of the inputs, and one more over their places where packs are left
/// out. Holds 4 bytes for each frame and for each slot of the fan-out: 64 MiB for the longest.
///
/// # Errors
///
/// An input is damaged, or together they are more than one segment can hold; what `write` returns.
pub fn merge<E: From<DecodeError>>(
    segments: &[(Id, Index<'_>)],
    left_out: &BTreeSet<Id>,
    salt: [u8; 16],
    write: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut inputs: Vec<Input<'_>> = Vec::with_capacity(segments.len());
    let mut counts = Counts::default();
    let mut replaced = BTreeSet::new();
    for (name, index) in segments {
        inputs.push(Input::new(*index, left_out, &mut counts)?);
        replaced.insert(*name);
        replaced.extend(index.replaced());
    }
    let Counts { packs, frames, deltas, objects } = counts;
    if objects > u64::from(u32::MAX) {
        return Err(DAMAGED.into());
    }
    let bits = super::fanout_bits(objects);
    let mut out = Output { bytes: Vec::with_capacity(WRITE_BYTES + PACK_BYTES), write };
    let counts = [packs, frames, replaced.len() as u32, deltas];
    out.put(&encode_header(bits, counts, objects, salt))?;
    replaced.iter().try_for_each(|name| out.put(name.as_bytes()))?;
    for input in &inputs {
        for (record, number) in input.index.pack_table.chunks(PACK_BYTES).zip(&input.packs) {
            if *number != LEFT_OUT {
                out.put(record)?;
            }
        }
    }
    for input in &inputs {
        for number in 0..input.index.frames {
            let (pack, place) = input.index.frame(number)?;
            let pack = input.packs.get(pack as usize).copied().ok_or(DAMAGED)?;
            if pack != LEFT_OUT {
                out.put(&encode_frame(pack, &place))?;
            }
        }
    }
    for end in fanout(&inputs, bits)? {
        out.put(&end.to_le_bytes())?;
    }
    in_order(&inputs, &mut |id, _| out.put(id.as_bytes()))?;
    in_order(&inputs, &mut |_, place| out.put(place))?;
    for input in &inputs {
        for number in 0..input.index.deltas {
            let (frame, offset, base) = input.index.delta(number)?;
            let frame = input.frame(frame)?;
            if frame != LEFT_OUT {
                out.put(&encode_base(frame, offset, &base))?;
            }
        }
    }
    out.flush()
}

/// The number of ids up to the end of each slot.
fn fanout(inputs: &[Input<'_>], bits: u32) -> Result<Vec<u32>, DecodeError> {
    let slots = 1_usize << bits;
    let mut ends = vec![0_u32; slots];
    for input in inputs {
        for number in 0..input.index.objects {
            if input.frame(input.index.raw_place(number)?.0)? == LEFT_OUT {
                continue;
            }
            let id = input.index.id(number).ok_or(DAMAGED)?;
            let slot = usize::try_from(slot_of(&id, bits)).map_err(|_| DAMAGED)?;
            *ends.get_mut(slot).ok_or(DAMAGED)? += 1;
        }
    }
    let mut end = 0;
    for slot in &mut ends {
        end += *slot;
        *slot = end;
    }
    Ok(ends)
}

/// The next object of an input, by what the segment is sorted by: id, then place.
struct Head<'i, 'a> {
    key: (Id, [u8; PLACE_BYTES]),
    number: u64,
    input: &'i Input<'a>,
}

impl<'i, 'a> Head<'i, 'a> {
    /// The first object from this number on that is carried over; `None` behind the last.
    fn new(input: &'i Input<'a>, from: u64) -> Result<Option<Self>, DecodeError> {
        let mut number = from;
        loop {
            let Some(id) = input.index.id(number) else { return Ok(None) };
            let (frame, offset, length, tag) = input.index.raw_place(number)?;
            let frame = input.frame(frame)?;
            if frame != LEFT_OUT {
                let place = encode_place(frame, offset, length, tag);
                return Ok(Some(Self { key: (id, place), number, input }));
            }
            number += 1;
        }
    }
}

/// Takes an object of the new segment: its id and its encoded place.
type EachObject<'e, E> = dyn FnMut(&Id, &[u8; PLACE_BYTES]) -> Result<(), E> + 'e;

/// Calls `each` for all objects in the order of the new segment.
fn in_order<E: From<DecodeError>>(
    inputs: &[Input<'_>],
    each: &mut EachObject<'_, E>,
) -> Result<(), E> {
    let mut heads = Vec::with_capacity(inputs.len());
    for input in inputs {
        heads.extend(Head::new(input, 0)?);
    }
    // A segment takes the place of few others, so a look at the head of each is as good as a heap.
    while let Some(first) = (0..heads.len()).min_by_key(|at| heads.get(*at).map(|head| head.key)) {
        let Some(head) = heads.get_mut(first) else { break };
        each(&head.key.0, &head.key.1)?;
        match Head::new(head.input, head.number + 1)? {
            Some(next) if next.key < head.key => return Err(DAMAGED.into()),
            Some(next) => *head = next,
            None => {
                heads.remove(first);
            }
        }
    }
    Ok(())
}

/// Gathers small writes.
struct Output<'w, E> {
    bytes: Vec<u8>,
    write: &'w mut dyn FnMut(&[u8]) -> Result<(), E>,
}

impl<E> Output<'_, E> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= WRITE_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), E> {
        (self.write)(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}
