//! Latencies: histograms in microseconds, of a whole step and of each second of it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Percentiles that reports give, with their names.
pub const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];
/// The longest latency that is told from a longer one.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Latencies of one kind.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// What they come to, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// Half took no longer.
    pub p50: f64,
    /// …
    pub p90: f64,
    /// …
    pub p95: f64,
    /// …
    pub p99: f64,
    /// …
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        // Three digits: an error below 0.1 %. The bounds are constant and allowed.
        Latencies(Histogram::new_with_bounds(1, longest, 3).expect("allowed bounds"))
    }
}

impl Latencies {
    /// Adds one.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.0.reset();
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Milliseconds that this part of them (0 to 1) did not exceed.
    #[must_use]
    pub fn quantile(&self, part: f64) -> f64 {
        self.0.value_at_quantile(part) as f64 / 1_000.0
    }

    /// What they come to.
    #[must_use]
    pub fn summary(&self) -> Summary {
        if self.0.is_empty() {
            return Summary::default();
        }
        let [p50, p90, p95, p99, p999, max] = PERCENTILES.map(|(_, part)| self.quantile(part));
        Summary { count: self.count(), mean: self.0.mean() / 1_000.0, p50, p90, p95, p99, p999, max }
    }

    /// The distribution for a plot: pairs of 1 / (1 - quantile) and milliseconds, evenly on a logarithmic scale.
    #[must_use]
    pub fn distribution(&self) -> Vec<(f64, f64)> {
        let last = (self.count().max(1) as f64).log10();
        let steps = (last * 20.0).ceil() as u32;
        let point = |step: u32| {
            let inverse = 10_f64.powf(f64::from(step) / 20.0);
            (inverse, self.quantile(1.0 - 1.0 / inverse))
        };
        (0..=steps).map(point).collect()
    }
}

impl Summary {
    /// The value of a percentile by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> f64 {
        match name {
            "p50" => self.p50,
            "p90" => self.p90,
            "p95" => self.p95,
            "p99" => self.p99,
            "p999" => self.p999,
            _ => self.max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut latencies = Latencies::default();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_millis(millis));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1_000);
        for (name, wanted) in [("p50", 500.0), ("p95", 950.0), ("p99", 990.0), ("max", 1_000.0)] {
            assert!((summary.get(name) - wanted).abs() < wanted * 0.002, "{name}: {}", summary.get(name));
        }
        let distribution = latencies.distribution();
        assert!(distribution.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        assert!(Latencies::default().summary() == Summary::default());
    }
}
