//! Cutting a failing case down: fewer things happen, and what happens is plainer, as long as the same invariant fails.

use crate::choices::Case;

/// Most runs that cutting down may take.
pub const RUNS_MAX: u64 = 3_000;

/// The smallest case found for which `fails` still holds, and how many runs that took.
pub fn shrink(case: Case, mut fails: impl FnMut(&Case) -> bool) -> (Case, u64) {
    let (mut best, mut runs) = (case, 0);
    let mut attempt = |best: &mut Case, candidate: Case| {
        if runs >= RUNS_MAX || candidate == *best {
            return false;
        }
        runs += 1;
        let better = fails(&candidate);
        if better {
            *best = candidate;
        }
        better
    };
    loop {
        let before = best.clone();
        remove_spans(&mut best, &mut attempt);
        lower_choices(&mut best, &mut attempt);
        if best == before {
            return (best, runs);
        }
    }
}

type Attempt<'a> = dyn FnMut(&mut Case, Case) -> bool + 'a;

/// Leaves out things that happen: half of them, a quarter, down to single ones, from the end.
fn remove_spans(best: &mut Case, attempt: &mut Attempt<'_>) {
    let mut length = best.0.len() / 2;
    while length > 0 {
        let mut end = best.0.len() - 1;
        while end > 1 {
            let start = end.saturating_sub(length).max(1);
            let mut fewer = best.clone();
            fewer.0.drain(start..end);
            attempt(best, fewer);
            end = start;
        }
        length /= 2;
    }
}

/// Makes each choice as plain as it can be: none, half of it, one less.
fn lower_choices(best: &mut Case, attempt: &mut Attempt<'_>) {
    for span in (0..best.0.len()).rev() {
        let mut cleared = best.clone();
        cleared.0[span].clear();
        if attempt(best, cleared) {
            continue;
        }
        for at in 0..best.0[span].len() {
            for lower in [|_: u64| 0, |choice: u64| choice / 2, |choice: u64| choice.saturating_sub(1)] {
                // What was lowered before may have made the span shorter.
                let Some(choice) = best.0[span].get(at).copied() else { break };
                let mut plainer = best.clone();
                plainer.0[span][at] = lower(choice);
                if attempt(best, plainer) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out_and_the_rest_made_plain() {
        let case = Case((0..40).map(|span| vec![span, 50 + span, 7]).collect());
        let fails = |case: &Case| case.0[1..case.0.len() - 1].iter().any(|span| span.get(1).is_some_and(|c| *c >= 60));
        let (small, runs) = shrink(case, fails);
        assert_eq!(small.0.len(), 3, "{small:?}");
        assert_eq!((small.0[0].len(), &small.0[1][..], small.0[2].len()), (0, &[0, 60, 0][..], 0));
        assert!(runs < 300, "{runs}");
    }
}
