//! A histogram of durations: log-linear, in the buckets of an HdrHistogram with three significant digits.
//!
//! Every value below 2,048 has a bucket of its own; above, each doubling is divided into 1,024. So a value read back is
//! never below the recorded one, and above it by less than one part in 1,024. Adding two histograms gives exactly the
//! histogram of all their values: percentiles of any union are as precise as those of one.

/// Buckets per doubling, as a power of two.
const SUB_BITS: u32 = 10;
/// Buckets that are allocated together: most series live in a few doublings.
const PAGE_LEN: usize = 128;
/// The highest bucket of all: that of `u64::MAX`.
const BUCKET_MAX: u32 = bucket_of(u64::MAX);

/// How much a value that is read back may lie above the recorded one, as a share of it.
pub const PRECISION: f64 = 1.0 / (1 << SUB_BITS) as f64;

const fn bucket_of(value: u64) -> u32 {
    // The smallest values count as if they had bit 10, and so get buckets of width 1.
    let shift = (u64::BITS - 1 - (value | 1 << SUB_BITS).leading_zeros()) - SUB_BITS;
    (shift << SUB_BITS) + (value >> shift) as u32
}

/// The highest value in a bucket.
const fn highest_in(bucket: u32) -> u64 {
    let shift = (bucket >> SUB_BITS).saturating_sub(1);
    let lowest = ((bucket - (shift << SUB_BITS)) as u64) << shift;
    lowest + ((1 << shift) - 1)
}

/// Counts of values by size, with their exact sum and maximum.
#[derive(Clone, Default, Debug)]
pub struct Histogram {
    pages: Vec<Option<Box<[u64; PAGE_LEN]>>>,
    count: u64,
    sum: u64,
    max: u64,
}

impl Histogram {
    /// Counts a value that was measured so often.
    #[inline]
    pub fn record(&mut self, value: u64, count: u64) {
        *self.bucket_mut(bucket_of(value)) += count;
        self.count += count;
        self.sum = self.sum.saturating_add(value.saturating_mul(count));
        self.max = self.max.max(value);
    }

    /// Adds all values of `other`.
    pub fn merge(&mut self, other: &Histogram) {
        for (page, theirs) in other.pages.iter().enumerate() {
            let Some(theirs) = theirs else { continue };
            let ours = self.page_mut(page);
            for (count, more) in ours.iter_mut().zip(theirs.iter()) {
                *count += more;
            }
        }
        self.add_totals(other.count, other.sum, other.max);
    }

    /// How many values were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of the values, exact (`u64::MAX` when it is beyond).
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The highest value, exact; 0 when there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The values at these ranks, given in thousandths and ascending: of 990, the smallest value that is at least as high as
    /// 99 % of all. `None` when nothing was counted.
    #[must_use]
    pub fn percentiles<const N: usize>(&self, per_mille: [u32; N]) -> Option<[u64; N]> {
        if self.count == 0 {
            return None;
        }
        let mut values = [self.max; N];
        let (mut next, mut seen) = (0, 0_u64);
        for (bucket, count) in self.buckets() {
            seen = count.saturating_add(seen);
            while next < N && seen >= rank(self.count, per_mille[next]) {
                values[next] = highest_in(bucket).min(self.max);
                next += 1;
            }
            if next == N {
                break;
            }
        }
        Some(values)
    }

    /// The buckets in use, ascending, each with its count: the stored form.
    pub(crate) fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.pages.iter().enumerate().flat_map(|(page, counts)| {
            let first = (page * PAGE_LEN) as u32;
            let counts = counts.as_deref().map_or(&[][..], |counts| &counts[..]);
            (first..).zip(counts.iter().copied()).filter(|(_, count)| *count > 0)
        })
    }

    /// Adds a stored bucket; `false` when there is no such bucket.
    pub(crate) fn add_bucket(&mut self, bucket: u32, count: u64) -> bool {
        if bucket > BUCKET_MAX {
            return false;
        }
        let sum = self.bucket_mut(bucket);
        *sum = sum.saturating_add(count);
        true
    }

    /// Adds what the buckets don't tell.
    pub(crate) fn add_totals(&mut self, count: u64, sum: u64, max: u64) {
        self.count = self.count.saturating_add(count);
        self.sum = self.sum.saturating_add(sum);
        self.max = self.max.max(max);
    }

    #[inline]
    fn bucket_mut(&mut self, bucket: u32) -> &mut u64 {
        let bucket = bucket as usize;
        &mut self.page_mut(bucket / PAGE_LEN)[bucket % PAGE_LEN]
    }

    #[inline]
    fn page_mut(&mut self, page: usize) -> &mut [u64; PAGE_LEN] {
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page].get_or_insert_with(|| Box::new([0; PAGE_LEN]))
    }
}

/// The place, from 1, of the value that is at least as high as so many thousandths of `count` values.
fn rank(count: u64, per_mille: u32) -> u64 {
    let rank = (u128::from(count) * u128::from(per_mille)).div_ceil(1000);
    u64::try_from(rank).unwrap_or(u64::MAX).clamp(1, count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for &value in values {
            histogram.record(value, 1);
        }
        histogram
    }

    fn contents(histogram: &Histogram) -> (Vec<(u32, u64)>, u64, u64, u64) {
        (histogram.buckets().collect(), histogram.count, histogram.sum, histogram.max)
    }

    #[test]
    fn buckets_touch_each_other_and_reach_to_the_end() {
        for bucket in 0..BUCKET_MAX {
            assert_eq!(bucket_of(highest_in(bucket)), bucket);
            assert_eq!(bucket_of(highest_in(bucket) + 1), bucket + 1);
        }
        assert_eq!(highest_in(BUCKET_MAX), u64::MAX);
    }

    #[test]
    fn nothing_counted_has_no_percentiles() {
        assert_eq!(Histogram::default().percentiles([500]), None);
    }

    #[test]
    fn ranks_are_those_of_whole_numbers() {
        let to_hundred = of(&(1..=100).collect::<Vec<_>>());
        assert_eq!(to_hundred.percentiles([0, 1, 10, 500, 505, 990, 999, 1000]), Some([1, 1, 1, 50, 51, 99, 100, 100]));
        assert_eq!((to_hundred.sum(), to_hundred.max(), to_hundred.count()), (5050, 100, 100));
    }

    /// Values of every size, small ones as often as large ones.
    fn durations() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift), 1..400)
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values_within_the_precision(values in durations(), per_mille in 0..=1000u32) {
            let [found] = of(&values).percentiles([per_mille]).expect("something was counted");
            let mut sorted = values;
            sorted.sort_unstable();
            let place = (sorted.len() * per_mille as usize).div_ceil(1000).max(1);
            let exact = sorted[place - 1];
            prop_assert!(found >= exact, "{found} is below {exact}");
            prop_assert!((found - exact) as f64 <= exact as f64 * PRECISION, "{found} is too far above {exact}");
        }

        #[test]
        fn merging_is_counting_together_in_any_order(a in durations(), b in durations(), c in durations()) {
            let together = of(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (of(&a), of(&b), of(&c));
            let mut left = a.clone();
            left.merge(&b);
            left.merge(&c);
            let mut right = c;
            right.merge(&b);
            right.merge(&a);
            prop_assert_eq!(contents(&left), contents(&together));
            prop_assert_eq!(contents(&right), contents(&together));
        }
    }
}
