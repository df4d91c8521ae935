//! Choices: everything that is not decided by the code under test. They come from a seed, or from a list that was recorded
//! and perhaps cut down.

use crate::random::Random;

/// The choices of a whole run in spans: first what kind of world it is, then one span for each thing that happens, last
/// what the calm needs. Beyond the end of a span every choice is 0, the plainest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case(pub Vec<Vec<u64>>);

enum From {
    Seed(Random),
    Case(Case),
}

/// Gives one choice after the other.
pub struct Choices {
    from: From,
    /// What was chosen so far, by span; kept when asked for.
    made: Option<Vec<Vec<u64>>>,
    span: usize,
    at: usize,
}

impl Choices {
    /// All from a seed; `kept`: to be asked for later.
    pub fn from_seed(seed: u64, kept: bool) -> Choices {
        Choices { from: From::Seed(Random::new(seed)), made: kept.then(|| vec![Vec::new()]), span: 0, at: 0 }
    }

    /// As recorded.
    pub fn from_case(case: Case) -> Choices {
        Choices { from: From::Case(case), made: Some(vec![Vec::new()]), span: 0, at: 0 }
    }

    /// Begins the span of the next thing that happens; false when the recorded ones are used up.
    pub fn begin(&mut self) -> bool {
        if let From::Case(case) = &self.from
            && self.span + 2 >= case.0.len()
        {
            return false;
        }
        self.begin_at(self.span + 1);
        true
    }

    /// Begins the last span.
    pub fn begin_last(&mut self) {
        let last = match &self.from {
            From::Case(case) => case.0.len().saturating_sub(1),
            From::Seed(_) => self.span + 1,
        };
        self.begin_at(last);
    }

    fn begin_at(&mut self, span: usize) {
        (self.span, self.at) = (span, 0);
        if let Some(made) = &mut self.made {
            made.push(Vec::new());
        }
    }

    /// Below `end`; 0 stands for the plainest.
    pub fn below(&mut self, end: u64) -> u64 {
        let end = end.max(1);
        let chosen = match &mut self.from {
            From::Seed(random) => random.next() % end,
            From::Case(case) => {
                let span = case.0.get(self.span);
                span.and_then(|span| span.get(self.at)).copied().unwrap_or(0).min(end - 1)
            }
        };
        self.at += 1;
        if let Some(last) = self.made.as_mut().and_then(|made| made.last_mut()) {
            last.push(chosen);
        }
        chosen
    }

    /// Below `end`, to count with.
    pub fn pick(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).expect("small")
    }

    /// One of several.
    pub fn of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.pick(several.len())]
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        // 0 means no.
        self.below(100) >= 100 - percent.min(100)
    }

    /// The index of one of the weights, as often as it weighs.
    pub fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        0
    }

    /// What was chosen.
    pub fn made(self) -> Case {
        Case(self.made.unwrap_or_default())
    }
}
