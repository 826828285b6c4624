//! Sorted sequences, merged into one.
//!
//! Invariant: one item of each sequence is held at a time, however long they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Sorted sequences of keys, each key with a value, taken together in order of the keys.
///
/// What is equal comes in the order of the sequences, and within one in its own.
#[derive(Debug)]
pub(super) struct Merge<S, K, V> {
    sequences: Vec<S>,
    /// The next item of each sequence: its key, the number of the sequence, its value.
    next: BinaryHeap<Reverse<(K, usize, V)>>,
}

impl<S: Iterator<Item = (K, V)>, K: Ord + Copy, V: Ord> Merge<S, K, V> {
    pub(super) fn new(sequences: Vec<S>) -> Self {
        let mut merge = Self { next: BinaryHeap::with_capacity(sequences.len()), sequences };
        for number in 0..merge.sequences.len() {
            merge.advance(number);
        }
        merge
    }

    fn advance(&mut self, number: usize) {
        if let Some((key, value)) = self.sequences.get_mut(number).and_then(Iterator::next) {
            self.next.push(Reverse((key, number, value)));
        }
    }

    /// Takes the next key, and into `holders` each sequence and value that it came with.
    pub(super) fn next_into(&mut self, holders: &mut Vec<(usize, V)>) -> Option<K> {
        holders.clear();
        let key = self.next.peek().map(|Reverse((key, _, _))| *key)?;
        while self.next.peek().is_some_and(|Reverse((next, _, _))| *next == key) {
            let Some(Reverse((_, number, value))) = self.next.pop() else { break };
            holders.push((number, value));
            self.advance(number);
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn every_key_comes_once_with_all_that_hold_it(
            mut sequences in proptest::collection::vec(
                proptest::collection::vec(0_u8..40, 0..30), 0..6),
        ) {
            let mut expected: BTreeMap<u8, Vec<(usize, u64)>> = BTreeMap::new();
            for (number, keys) in sequences.iter_mut().enumerate() {
                keys.sort_unstable();
                for (at, key) in keys.iter().enumerate() {
                    expected.entry(*key).or_default().push((number, at as u64));
                }
            }
            let numbered = |keys: Vec<u8>| keys.into_iter().zip(0_u64..);
            let mut merge = Merge::new(sequences.into_iter().map(numbered).collect());
            let (mut holders, mut merged) = (Vec::new(), Vec::new());
            while let Some(key) = merge.next_into(&mut holders) {
                merged.push((key, holders.clone()));
            }
            prop_assert_eq!(merged, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
