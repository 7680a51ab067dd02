//! What segments there are, put in order.

use super::SegmentName;

/// The segments of one life of the journal on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Those that follow each other without a hole, from event 1 on.
    pub segments: Vec<SegmentName>,
    /// Those whose events all are in `segments`, too: shorter ones that a longer one has replaced.
    pub superseded: Vec<SegmentName>,
    /// Those that come after a hole.
    pub beyond: Vec<SegmentName>,
}

// === impl Coverage ===

impl Coverage {
    /// Puts in order what a listing found.
    pub fn of(names: impl IntoIterator<Item = SegmentName>) -> Self {
        let mut names: Vec<SegmentName> = names.into_iter().collect();
        // The longest of those with the same first event comes first.
        names.sort_unstable_by_key(|name| (name.first, std::cmp::Reverse(name.last)));
        let mut found = Self::default();
        for name in names {
            let last = found.last();
            if name.first == last + 1 {
                found.segments.push(name);
            } else if name.last <= last {
                found.superseded.push(name);
            } else {
                found.beyond.push(name);
            }
        }
        found
    }

    /// Up to this event nothing is missing; 0 when there is no segment.
    pub fn last(&self) -> u64 {
        self.segments.last().map_or(0, |name| name.last)
    }
}

#[cfg(test)]
mod tests {
    use proto::Incarnation;
    use uuid::Uuid;

    use super::*;

    fn names(ranges: &[(u64, u64)]) -> Vec<SegmentName> {
        let incarnation = Incarnation::new(Uuid::from_u128(7));
        ranges.iter().map(|&(first, last)| SegmentName { incarnation, first, last }).collect()
    }

    #[test]
    fn the_longest_segments_without_a_hole_count() {
        let found = Coverage::of(names(&[(1, 2), (1, 4), (5, 5), (9, 12), (3, 4)]));
        assert_eq!(found.segments, names(&[(1, 4), (5, 5)]));
        assert_eq!(found.superseded, names(&[(1, 2), (3, 4)]));
        assert_eq!(found.beyond, names(&[(9, 12)]));
        assert_eq!(found.last(), 5);
        assert_eq!(Coverage::of(names(&[(2, 3)])).last(), 0);
        // One that begins in the middle of another and goes further is of no use, but holds what must not be thrown away.
        assert_eq!(Coverage::of(names(&[(1, 4), (3, 9)])).beyond, names(&[(3, 9)]));
    }
}
