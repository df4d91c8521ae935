//! Running seeds: one, or many on several threads; what comes out when one fails.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::choices::{Case, Choices};
use crate::defects::Handicap;
use crate::invariants::Violation;
use crate::log::Log;
use crate::shrink::shrink;
use crate::world::{Totals, World};

/// Why a run failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The name of the invariant, or that of a panic.
    pub what: String,
    pub detail: String,
}

/// A run, whatever came of it.
pub struct Run {
    pub outcome: Result<Totals, Failure>,
    pub log: Log,
    /// What was chosen, where that was kept.
    pub case: Case,
}

thread_local! {
    /// What a panic said: it is printed only when its run is told of.
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
    static QUIET: RefCell<bool> = const { RefCell::new(false) };
}

fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.with_borrow(|quiet| *quiet) {
                PANIC.set(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

/// Runs one world.
pub fn run(choices: Choices, handicap: Handicap, log: Log) -> Run {
    keep_panics_quiet();
    let mut world = None;
    QUIET.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(choices, handicap, log));
        world.run();
        world.totals
    }));
    QUIET.set(false);
    let (case, mut log) = world.map_or_else(|| (Case(Vec::new()), Log::default()), World::chosen);
    let outcome = outcome.map_err(|panic| match panic.downcast_ref::<Violation>() {
        Some(Violation { invariant, detail }) => Failure { what: format!("{invariant:?}"), detail: detail.clone() },
        None => Failure { what: "panic".to_owned(), detail: PANIC.take() },
    });
    if let Err(failure) = &outcome {
        log.note(u64::MAX, || format!("{}: {}", failure.what, failure.detail));
    }
    Run { outcome, log, case }
}

pub fn run_seed(seed: u64, handicap: Handicap) -> Result<Totals, Failure> {
    run(Choices::from_seed(seed, false), handicap, Log::default()).outcome
}

/// A failing seed cut down: the small case with its log, and how many runs it took.
pub fn cut_down(seed: u64, handicap: Handicap) -> Option<(Run, u64)> {
    let whole = run(Choices::from_seed(seed, true), handicap, Log::default());
    let what = whole.outcome.err()?.what;
    let fails = |case: &Case| {
        let again = run(Choices::from_case(case.clone()), handicap, Log::default());
        again.outcome.is_err_and(|failure| failure.what == what)
    };
    let (case, runs) = shrink(whole.case, fails);
    Some((run(Choices::from_case(case), handicap, Log::wanted()), runs))
}

/// Many seeds on so many threads; with a line of progress now and then when `told`.
pub struct Many {
    pub seeds: std::ops::Range<u64>,
    pub threads: usize,
    pub handicap: Handicap,
    /// Ends with the first failure.
    pub first: bool,
    pub told: bool,
}

const PROGRESS: Duration = Duration::from_secs(10);

impl Many {
    /// The totals, and the seeds that failed, in order.
    pub fn run(&self) -> (Totals, Vec<(u64, Failure)>) {
        let next = AtomicU64::new(self.seeds.start);
        let begun = Instant::now();
        let state = Mutex::new((Totals::default(), Vec::new(), Instant::now()));
        std::thread::scope(|scope| {
            for _ in 0..self.threads {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.end {
                            return;
                        }
                        let outcome = run_seed(seed, self.handicap);
                        let (totals, failures, told) = &mut *state.lock().expect("nobody panics with it");
                        match outcome {
                            Ok(own) => totals.add(&own),
                            Err(failure) => {
                                if self.told {
                                    println!("seed {seed} fails: {}: {}", failure.what, failure.detail);
                                    println!("  make simulate SEED={seed}");
                                }
                                failures.push((seed, failure));
                                if self.first {
                                    next.store(self.seeds.end, Ordering::Relaxed);
                                }
                            }
                        }
                        if self.told && told.elapsed() > PROGRESS {
                            *told = Instant::now();
                            self.tell(totals.seeds + failures.len() as u64, failures.len(), begun);
                        }
                    }
                });
            }
        });
        let (totals, mut failures, _) = state.into_inner().expect("nobody panics with it");
        failures.sort_by_key(|(seed, _)| *seed);
        (totals, failures)
    }

    fn tell(&self, done: u64, failed: usize, begun: Instant) {
        let seconds = begun.elapsed().as_secs_f64();
        let rate = done as f64 / seconds;
        let left = (self.seeds.end - self.seeds.start - done) as f64 / rate;
        println!("{done} seeds in {seconds:.0} s, {rate:.0} a second, {failed} failed, {left:.0} s to go");
    }
}
