//! The highest rate that passes: doubled until a step does not pass, then the gap halved until it is narrow.

/// Steps at most, repetitions included.
const STEPS_MAX: u32 = 40;

/// What is known of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    low: f64,
    high: f64,
    precision: f64,
    tries: u32,
    /// The highest rate that passed.
    best: Option<f64>,
    /// The lowest rate that did not, however often it was tried.
    worst: Option<f64>,
    /// A rate that has not passed yet, and how often.
    failing: Option<(f64, u32)>,
    taken: u32,
}

impl Search {
    /// Between two rates, to a precision such as 0.05; a step that does not pass is tried so often before it counts, for a
    /// machine may have a bad moment.
    #[must_use]
    pub fn new(low: f64, high: f64, precision: f64, tries: u32) -> Search {
        Search { low, high, precision, tries, best: None, worst: None, failing: None, taken: 0 }
    }

    /// The rate of the next step; `None` when enough is known.
    #[must_use]
    pub fn next(&self) -> Option<f64> {
        if self.taken >= STEPS_MAX {
            return None;
        }
        if let Some((rate, _)) = self.failing {
            return Some(rate);
        }
        match (self.best, self.worst) {
            (None, None) => Some(self.low),
            (None, Some(_)) => None,
            (Some(best), None) => (best < self.high).then(|| (best * 2.0).min(self.high)),
            (Some(best), Some(worst)) => {
                (worst > best * (1.0 + self.precision)).then(|| ((best + worst) / 2.0).round())
            }
        }
    }

    /// What the last step came to.
    pub fn told(&mut self, rate: f64, passed: bool) {
        self.taken += 1;
        let failures = self.failing.take().map_or(0, |(_, failures)| failures) + 1;
        if passed {
            self.best = Some(rate);
        } else if failures < self.tries {
            self.failing = Some((rate, failures));
        } else {
            self.worst = Some(rate);
        }
    }

    /// The highest rate that passed.
    #[must_use]
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches where all up to `limit` pass; the rates it tried.
    fn tried(limit: f64, tries: u32) -> (Vec<f64>, Option<f64>) {
        let mut search = Search::new(1_000.0, 64_000.0, 0.05, tries);
        let mut rates = Vec::new();
        while let Some(rate) = search.next() {
            rates.push(rate);
            search.told(rate, rate <= limit);
        }
        (rates, search.best())
    }

    #[test]
    fn doubles_and_then_halves_the_gap() {
        let (rates, best) = tried(11_000.0, 1);
        assert_eq!(rates[..5], [1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0]);
        assert!(rates.len() < 10, "{rates:?}");
        assert!(best.is_some_and(|best| best <= 11_000.0 && best * 1.05 >= 11_000.0 * 0.999), "{best:?}");
    }

    #[test]
    fn ends_at_the_bounds() {
        assert_eq!(tried(1e9, 1).1, Some(64_000.0));
        assert_eq!(tried(10.0, 2), (vec![1_000.0, 1_000.0], None));
    }

    #[test]
    fn one_bad_moment_does_not_count() {
        let mut search = Search::new(1_000.0, 4_000.0, 0.05, 2);
        for (rate, passed) in [(1_000.0, true), (2_000.0, false), (2_000.0, true), (4_000.0, true)] {
            assert_eq!(search.next(), Some(rate));
            search.told(rate, passed);
        }
        assert_eq!((search.next(), search.best()), (None, Some(4_000.0)));
    }
}
