//! The order in which packs of metadata can be published.
//!
//! Invariant: packs that need each other, directly or not, come together; all others come after
//! those that they need.

/// Groups numbers so that each group needs only itself and those before it. `needs[n]` are the
/// numbers that `n` needs.
///
/// Source: R. Tarjan, Depth-first search and linear graph algorithms, 1972; without recursion.
pub(super) fn groups(needs: &[Vec<u32>]) -> Vec<Vec<u32>> {
    let mut search = Search {
        needs,
        order: vec![None; needs.len()],
        low: vec![0; needs.len()],
        is_open: vec![false; needs.len()],
        open: Vec::new(),
        entered: 0,
        groups: Vec::new(),
    };
    for start in 0..needs.len() {
        search.run(start);
    }
    search.groups
}

struct Search<'n> {
    needs: &'n [Vec<u32>],
    /// When each was entered.
    order: Vec<Option<usize>>,
    /// The earliest of those still open that each leads to.
    low: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    entered: usize,
    groups: Vec<Vec<u32>>,
}

impl Search<'_> {
    fn enter(&mut self, number: usize) {
        self.order[number] = Some(self.entered);
        self.low[number] = self.entered;
        self.entered += 1;
        self.is_open[number] = true;
        self.open.push(number);
    }

    fn run(&mut self, start: usize) {
        if self.order[start].is_some() {
            return;
        }
        self.enter(start);
        // Each number on the way, and how many of its needs were looked at.
        let mut way = vec![(start, 0)];
        while let Some((number, looked)) = way.last_mut() {
            let number = *number;
            if let Some(need) = self.needs[number].get(*looked) {
                *looked += 1;
                let need = *need as usize;
                match self.order[need] {
                    None => {
                        self.enter(need);
                        way.push((need, 0));
                    }
                    Some(order) if self.is_open[need] => {
                        self.low[number] = self.low[number].min(order);
                    }
                    Some(_) => {}
                }
                continue;
            }
            way.pop();
            if let Some((above, _)) = way.last() {
                self.low[*above] = self.low[*above].min(self.low[number]);
            }
            if self.order[number] == Some(self.low[number]) {
                self.close(number);
            }
        }
    }

    fn close(&mut self, first: usize) {
        let mut group = Vec::new();
        while let Some(number) = self.open.pop() {
            self.is_open[number] = false;
            group.push(number as u32);
            if number == first {
                break;
            }
        }
        self.groups.push(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reaches(needs: &[Vec<u32>], from: u32) -> std::collections::BTreeSet<u32> {
        let mut reached = std::collections::BTreeSet::new();
        let mut waiting = vec![from];
        while let Some(number) = waiting.pop() {
            if reached.insert(number) {
                waiting.extend(&needs[number as usize]);
            }
        }
        reached
    }

    proptest! {
        #[test]
        fn groups_need_only_what_came_before(
            needs in proptest::collection::vec(proptest::collection::vec(0_u32..12, 0..3), 12),
        ) {
            let groups = groups(&needs);
            let mut before = std::collections::BTreeSet::new();
            for group in &groups {
                before.extend(group.iter().copied());
                for number in group {
                    let reached = reaches(&needs, *number);
                    prop_assert!(reached.is_subset(&before));
                    let mutual: Vec<u32> = reached
                        .iter()
                        .copied()
                        .filter(|other| reaches(&needs, *other).contains(number))
                        .collect();
                    let mut sorted = group.clone();
                    sorted.sort_unstable();
                    prop_assert_eq!(&mutual, &sorted);
                }
            }
            prop_assert_eq!(before.len(), needs.len());
        }
    }
}
