//! Which blocks answer for a span of time: the coarsest that lie within it, and finer ones at its edges.

use std::ops::Range;

use trinity_engine::time::Timestamp;

use super::{Block, Series};
use crate::error::AnalyticsError;
use crate::window::Resolution;

/// A span of time, and how it is divided.
#[derive(Clone, Debug)]
pub struct Span {
    /// From here, up to and not with there.
    pub range: Range<Timestamp>,
    /// No block may cross a multiple of this many microseconds, if there is a finer one.
    pub step_micros: u64,
}

impl Span {
    fn holds(&self, start: Timestamp, end: Timestamp) -> bool {
        self.range.start <= start
            && end <= self.range.end
            && start.0 / self.step_micros == (end.0 - 1) / self.step_micros
    }
}

impl Series {
    /// Hands every block that answers for the span to `visit`, with the start of its window. Windows at the edges count
    /// whole, and where finer ones are retired, coarser ones stand for them: the span that was really covered is returned.
    pub fn cover<E: From<AnalyticsError>>(
        &self,
        span: &Span,
        mut visit: impl FnMut(Timestamp, &[u8]) -> Result<(), E>,
    ) -> Result<Range<Timestamp>, E> {
        let mut chosen = Vec::new();
        self.choose(Resolution::Hour, self.clip(&span.range), span, &mut chosen);
        let mut covered = Resolution::Seconds.floor(span.range.start)..Resolution::Seconds.ceil(span.range.end);
        for (resolution, start, block) in chosen {
            visit(start, &self.read_block(resolution, block)?)?;
            covered.start = covered.start.min(start);
            covered.end = covered.end.max(resolution.end(start));
        }
        Ok(covered)
    }

    /// The part of a range that has blocks at all, so that nobody walks through centuries without any.
    fn clip(&self, range: &Range<Timestamp>) -> Range<Timestamp> {
        let firsts = self.levels.iter().filter_map(|level| level.blocks.first_key_value());
        let first = firsts.map(|((start, _), _)| *start).min().unwrap_or(range.end);
        let lasts = self.levels.iter().filter_map(|level| level.blocks.last_key_value());
        let last = lasts.map(|((start, _), _)| Resolution::Hour.end(*start)).max().unwrap_or(range.start);
        range.start.max(Resolution::Hour.floor(first))..range.end.min(last)
    }

    fn choose<'a>(
        &'a self,
        resolution: Resolution,
        range: Range<Timestamp>,
        span: &Span,
        chosen: &mut Vec<(Resolution, Timestamp, &'a Block)>,
    ) {
        let blocks = &self.level(resolution).blocks;
        let mut start = resolution.floor(range.start);
        let Some(finer) = resolution.finer() else {
            if start < range.end {
                let parts = blocks.range((start, 0)..(range.end, 0));
                chosen.extend(parts.map(|((start, _), block)| (resolution, *start, block)));
            }
            return;
        };
        while start < range.end {
            let end = resolution.end(start);
            let fresh = blocks.get(&(start, 0)).filter(|_| !self.stale.contains(&(resolution, start)));
            match fresh {
                // It lies within, or is all that is left.
                Some(block)
                    if span.holds(start, end) || self.digest_below(finer, start, resolution) != block.digest =>
                {
                    chosen.push((resolution, start, block));
                }
                _ => self.choose(finer, start.max(range.start)..end.min(range.end), span, chosen),
            }
            start = end;
        }
    }
}
