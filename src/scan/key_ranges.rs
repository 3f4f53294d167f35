//! Splits sorted parts, one for each range of rows, into ranges of a key, so that workers process the key ranges in
//! parallel.
//!
//! Rows with the same key are in the same range.

/// Rows of a key range, about: few enough to stay in the processor's cache while they are sorted.
const KEY_RANGE_ROWS: usize = 1 << 14;

/// A range of keys.
#[derive(Debug, Clone, Copy)]
pub struct KeyRange<K> {
    /// The first key; `None` if the range has no lower bound.
    from: Option<K>,
    /// The first key after the range; `None` if the range has no upper bound.
    until: Option<K>,
}

/// Ascending ranges of the key that together cover all rows. Each part must be in ascending order of the key.
pub fn ranges<T, K: Ord + Copy>(parts: &[Vec<T>], key: impl Fn(&T) -> K) -> Vec<KeyRange<K>> {
    let rows: usize = parts.iter().map(Vec::len).sum();
    let mut sample: Vec<K> = parts.iter().flat_map(|part| part.iter().step_by(KEY_RANGE_ROWS / 16)).map(&key).collect();
    sample.sort_unstable();
    let wanted = rows.div_ceil(KEY_RANGE_ROWS).max(1);
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
    /// The indices of the rows of `part` that are in the range. `part` must be in ascending order of the key.
    pub fn of<T>(&self, part: &[T], key: impl Fn(&T) -> K) -> std::ops::Range<usize> {
        let first = self.from.map_or(0, |from| part.partition_point(|row| key(row) < from));
        let end = self.until.map_or(part.len(), |until| part.partition_point(|row| key(row) < until));
        first..end
    }
}

/// The rows of all parts that are in the range, part by part.
pub fn within<T: Copy, K: Ord + Copy>(parts: &[Vec<T>], range: KeyRange<K>, key: impl Fn(&T) -> K) -> Vec<T> {
    let parts: Vec<&[T]> = parts.iter().map(|part| &part[range.of(part, &key)]).collect();
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_every_row_once_and_do_not_separate_equal_keys() {
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
