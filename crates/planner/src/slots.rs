//! Sets of hash slots, kept as sorted, disjoint, inclusive ranges.

use std::fmt;
use std::str::FromStr;

use crate::ids::InvalidId;

/// Number of hash slots of every Redis Cluster.
pub const SLOT_COUNT: u16 = 16384;

/// A hash slot, 0 to 16383.
pub type Slot = u16;

/// A set of hash slots.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotSet(Vec<(Slot, Slot)>);

impl SlotSet {
    /// The empty set.
    pub const fn empty() -> Self {
        Self(Vec::new())
    }

    /// All 16384 slots.
    pub fn all() -> Self {
        Self(vec![(0, SLOT_COUNT - 1)])
    }

    /// The slots from `first` to `last`, both included. Empty when `first > last`; cut at 16383.
    pub fn range(first: Slot, last: Slot) -> Self {
        let last = last.min(SLOT_COUNT - 1);
        if first > last { Self::empty() } else { Self(vec![(first, last)]) }
    }

    /// `count` contiguous ranges that together are all slots and differ in length by at most one; range `index`.
    /// Empty when `index >= count`.
    pub fn share(index: usize, count: usize) -> Self {
        if index >= count {
            return Self::empty();
        }
        let bound =
            |i: usize| -> u16 { u16::try_from(i * usize::from(SLOT_COUNT) / count).unwrap_or(SLOT_COUNT) };
        let (first, end) = (bound(index), bound(index + 1));
        if first == end { Self::empty() } else { Self::range(first, end - 1) }
    }

    /// The ranges in ascending order, both ends included.
    pub fn ranges(&self) -> &[(Slot, Slot)] {
        &self.0
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(first, last)| usize::from(last - first) + 1).sum()
    }

    /// Whether no slot is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the set holds all 16384 slots.
    pub fn is_all(&self) -> bool {
        self.0 == [(0, SLOT_COUNT - 1)]
    }

    /// The lowest slot.
    pub fn first(&self) -> Option<Slot> {
        self.0.first().map(|r| r.0)
    }

    /// Whether `slot` is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Slots that are in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut ranges: Vec<(Slot, Slot)> = self.0.iter().chain(&other.0).copied().collect();
        ranges.sort_unstable();
        let mut merged: Vec<(Slot, Slot)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(previous) if u32::from(first) <= u32::from(previous.1) + 1 => {
                    previous.1 = previous.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        Self(merged)
    }

    /// Slots that are in this set and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut rest = Vec::new();
        for &(first, last) in &self.0 {
            let mut start = u32::from(first);
            for &(cut_first, cut_last) in &other.0 {
                if u32::from(cut_last) < start || cut_first > last {
                    continue;
                }
                if u32::from(cut_first) > start {
                    rest.push((narrow(start), cut_first - 1));
                }
                start = u32::from(cut_last) + 1;
            }
            if start <= u32::from(last) {
                rest.push((narrow(start), last));
            }
        }
        Self(rest)
    }

    /// Slots that are in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }
}

/// Slot arithmetic runs in u32 so that `last + 1` can't overflow; every value that is kept is a slot again.
fn narrow(slot: u32) -> Slot {
    u16::try_from(slot).unwrap_or(SLOT_COUNT - 1)
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut sorted: Vec<Slot> = slots.into_iter().filter(|s| *s < SLOT_COUNT).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut ranges: Vec<(Slot, Slot)> = Vec::new();
        for slot in sorted {
            match ranges.last_mut() {
                Some(last) if last.1 + 1 == slot => last.1 = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        Self(ranges)
    }
}

/// Parses what `CLUSTER NODES` writes: ranges and single slots, separated by spaces or commas.
impl FromStr for SlotSet {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = || InvalidId { text: text.to_owned(), expected: "a list of slots or slot ranges" };
        let mut set = Self::empty();
        for part in text.split([' ', ',']).filter(|p| !p.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (Slot, Slot) =
                (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
            if first > last || last >= SLOT_COUNT {
                return Err(invalid());
            }
            set = set.union(&Self::range(first, last));
        }
        Ok(set)
    }
}

/// Writes ranges as people read them: `0-5460, 10923`.
impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (first, last)) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { ", " };
            if first == last {
                write!(f, "{separator}{first}")?;
            } else {
                write!(f, "{separator}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn any_slots() -> impl Strategy<Value = BTreeSet<Slot>> {
        proptest::collection::btree_set(prop_oneof![0..40u16, 16370..SLOT_COUNT], 0..30)
    }

    proptest! {
        #[test]
        fn set_operations_agree_with_a_plain_set(a in any_slots(), b in any_slots()) {
            let (x, y): (SlotSet, SlotSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let plain = |s: SlotSet| s.iter().collect::<BTreeSet<_>>();
            prop_assert_eq!(plain(x.union(&y)), a.union(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(plain(x.difference(&y)), a.difference(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(plain(x.intersection(&y)), a.intersection(&b).copied().collect::<BTreeSet<_>>());
            prop_assert_eq!(x.len(), a.len());
            prop_assert_eq!(x.to_string().parse::<SlotSet>().unwrap(), x);
        }

        #[test]
        fn shares_cover_all_slots_once_and_differ_by_at_most_one(count in 1usize..=600) {
            let shares: Vec<_> = (0..count).map(|i| SlotSet::share(i, count)).collect();
            prop_assert_eq!(shares.iter().map(SlotSet::len).sum::<usize>(), usize::from(SLOT_COUNT));
            prop_assert!(shares.iter().fold(SlotSet::empty(), |all, s| all.union(s)).is_all());
            let (min, max) = (shares.iter().map(SlotSet::len).min().unwrap(), shares.iter().map(SlotSet::len).max().unwrap());
            prop_assert!(max - min <= 1);
        }
    }

    #[test]
    fn texts_that_are_no_slots_are_refused() {
        for wrong in ["x", "5-", "-5", "7-3", "16384", "0-16384", "[5->-abc]"] {
            assert!(wrong.parse::<SlotSet>().is_err(), "{wrong}");
        }
        assert_eq!("0-5460 5462".parse::<SlotSet>().unwrap().to_string(), "0-5460, 5462");
    }
}
