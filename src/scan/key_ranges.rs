//! Sorted parts, one from each range of rows, split into ranges of a key so that workers settle them in parallel.
//!
//! Rows with the same key fall into the same range, so that each range can be settled by itself.

/// Rows that are settled at a time: few enough to stay in a worker's cache while they are sorted.
const SHARE: usize = 1 << 14;

/// A range of keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<K> {
    /// The first key; `None` for the lowest there is.
    from: Option<K>,
    /// The first key behind it; `None` where the range has no end.
    until: Option<K>,
}

/// Ranges of the key, ascending, that together hold every row. Each part is in ascending order of the key.
pub fn ranges<T, K: Ord + Copy>(parts: &[Vec<T>], key: impl Fn(&T) -> K) -> Vec<KeyRange<K>> {
    let rows: usize = parts.iter().map(Vec::len).sum();
    let mut sample: Vec<K> = parts.iter().flat_map(|part| part.iter().step_by(SHARE / 16)).map(&key).collect();
    sample.sort_unstable();
    let wanted = rows.div_ceil(SHARE).max(1);
    let mut from = None;
    let mut ranges = Vec::with_capacity(wanted);
    for &until in sample.iter().step_by(sample.len().div_ceil(wanted).max(1)).skip(1) {
        if from < Some(until) {
            ranges.push(KeyRange { from, until: Some(until) });
            from = Some(until);
        }
    }
    ranges.push(KeyRange { from, until: None });
    ranges
}

impl<K: Ord + Copy> KeyRange<K> {
    /// Where the rows of the range lie in a part.
    pub fn of<T>(&self, part: &[T], key: impl Fn(&T) -> K) -> std::ops::Range<usize> {
        let first = self.from.map_or(0, |from| part.partition_point(|row| key(row) < from));
        let end = self.until.map_or(part.len(), |until| part.partition_point(|row| key(row) < until));
        first..end
    }
}

/// The rows of a range, part by part.
pub fn within<T: Copy, K: Ord + Copy>(parts: &[Vec<T>], range: KeyRange<K>, key: impl Fn(&T) -> K) -> Vec<T> {
    let parts: Vec<&[T]> = parts.iter().map(|part| &part[range.of(part, &key)]).collect();
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_every_row_once_and_never_part_equals() {
        let parts: Vec<Vec<u64>> =
            (0..5u64).map(|part| (0..40_000u64).map(|row| (row * (part + 1)) / 7 * 7).collect()).collect();
        let ranges = ranges(&parts, |row| *row);
        assert!(ranges.len() > 8);
        let shares: Vec<Vec<u64>> = ranges.iter().map(|&range| within(&parts, range, |row| *row)).collect();
        assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 200_000);
        for pair in shares.windows(2) {
            assert!(pair[0].iter().max() < pair[1].iter().min());
        }
        let one = super::ranges(&[vec![7u64; 100_000]], |row| *row);
        assert_eq!(
            one.iter().map(|&range| within(&[vec![7u64; 100_000]], range, |row| *row).len()).max(),
            Some(100_000)
        );
    }
}
