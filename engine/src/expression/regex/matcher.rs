//! Trying an expression on a text, by backtracking, with its state on the heap and every try counted.

use super::parse::Assert;
use super::program::{Op, Program, fold};
use crate::expression::errors::Stop;
use crate::expression::run::Run;

/// A match: where each group begins and ends, the whole first.
#[derive(Debug)]
pub struct Found {
    pub groups: Vec<Option<(usize, usize)>>,
}

/// Instructions for which one step is charged.
const TICKS: u32 = 3;

/// What may wait on the way back.
const STACK_MAX: usize = 300_000;

/// No place.
const NONE: usize = usize::MAX;

enum Back {
    /// Another way to go on.
    Branch {
        at: usize,
        place: usize,
    },
    /// What a slot held.
    Slot {
        slot: usize,
        value: usize,
    },
    /// A call that was returned from, or made.
    Uncall,
    Recall(usize),
    /// A run that may be shorter, down to a place.
    Shorter {
        at: usize,
        least: usize,
        place: usize,
    },
    /// A look behind that may begin further back.
    Behind {
        at: usize,
        place: usize,
        left: Option<u32>,
    },
}

struct Matcher<'m, 'c> {
    program: &'m Program,
    run: &'m mut Run<'c>,
    text: &'m str,
    search_start: usize,
    slots: Vec<usize>,
    stack: Vec<Back>,
    calls: Vec<usize>,
    ticks: u32,
}

/// The first match that begins at `from` or behind it.
pub fn search(
    program: &Program,
    run: &mut Run<'_>,
    text: &str,
    from: usize,
    not_empty: bool,
) -> Result<Option<Found>, Stop> {
    let slots = vec![NONE; program.slots];
    let mut matcher =
        Matcher { program, run, text, search_start: from, slots, stack: Vec::new(), calls: Vec::new(), ticks: 0 };
    let mut start = from;
    while start <= text.len() {
        if let Some(first) = program.first {
            match text[start..].find(first) {
                Some(next) => {
                    matcher.run.charge(next as u64 / 64)?;
                    start += next;
                }
                None => return Ok(None),
            }
        }
        if matcher.try_at(start, not_empty)? {
            return Ok(Some(matcher.found()));
        }
        start += text[start..].chars().next().map_or(1, char::len_utf8);
    }
    Ok(None)
}

impl Matcher<'_, '_> {
    fn found(&self) -> Found {
        let group = |number: usize| match (self.slots[2 * number], self.slots[2 * number + 1]) {
            (from, to) if from != NONE && to != NONE => Some((from, to)),
            _ => None,
        };
        Found { groups: (0..=self.program.groups).map(group).collect() }
    }

    fn tick(&mut self) -> Result<(), Stop> {
        self.ticks += 1;
        if self.ticks >= 64 * TICKS {
            self.run.charge(u64::from(self.ticks / TICKS))?;
            self.ticks = 0;
        }
        if self.stack.len() > STACK_MAX { Err(Stop::Limit("backtracking")) } else { Ok(()) }
    }

    fn set(&mut self, slot: usize, value: usize) {
        let old = std::mem::replace(&mut self.slots[slot], value);
        self.stack.push(Back::Slot { slot, value: old });
    }

    fn next(&self, place: usize) -> Option<char> {
        self.text[place..].chars().next()
    }

    fn before(&self, place: usize) -> Option<char> {
        self.text[..place].chars().next_back()
    }

    fn try_at(&mut self, start: usize, not_empty: bool) -> Result<bool, Stop> {
        self.slots.fill(NONE);
        self.stack.clear();
        self.calls.clear();
        self.slots[0] = start;
        let (mut at, mut place) = (0, start);
        loop {
            self.tick()?;
            let program = self.program;
            let op = &program.code[at];
            if let Op::Match = op
                && !(not_empty && place == start)
            {
                // A look ahead may have kept a place behind the end.
                self.slots[0] = self.slots[0].min(place);
                self.slots[1] = place;
                return Ok(true);
            }
            let next = self.step(op, at, place);
            match next.or_else(|| self.back()) {
                Some((to, there)) => (at, place) = (to, there),
                None => return Ok(false),
            }
        }
    }

    /// Where to go on, unless this way ends here.
    fn step(&mut self, op: &Op, at: usize, place: usize) -> Option<(usize, usize)> {
        let take = |matches: bool, c: char| matches.then(|| (at + 1, place + c.len_utf8()));
        match op {
            Op::Char(wanted) => self.next(place).and_then(|c| take(c == *wanted, c)),
            Op::Folded(wanted) => self.next(place).and_then(|c| take(fold(c) == *wanted, c)),
            Op::Any => self.next(place).and_then(|c| take(true, c)),
            Op::NotLineEnd => self.next(place).and_then(|c| take(c != '\n', c)),
            Op::Class(class) => self.next(place).and_then(|c| take(class.has(c), c)),
            Op::Assert(assert) => self.holds(*assert, place).then_some((at + 1, place)),
            Op::Split(first, second) => {
                self.stack.push(Back::Branch { at: *second, place });
                Some((*first, place))
            }
            Op::Jump(to) => Some((*to, place)),
            Op::Save(slot) | Op::Mark(slot) => {
                self.set(*slot, place);
                Some((at + 1, place))
            }
            Op::Progress(register, behind) => {
                let moved = self.slots[*register] != place;
                Some((if moved { at + 1 } else { *behind }, place))
            }
            Op::CountStart(register) => {
                self.set(*register, 0);
                self.set(*register + 1, NONE);
                Some((at + 1, place))
            }
            Op::Count(register, min, max, lazy, behind) => {
                self.count(at, place, *register, (*min, *max), *lazy, *behind)
            }
            Op::CountMore(register) => {
                self.set(*register, self.slots[*register] + 1);
                self.set(*register + 1, place);
                Some((at + 1, place))
            }
            Op::Back(groups, folded) => self.repeated(groups, *folded, place).map(|end| (at + 1, end)),
            Op::LookStart(register, otherwise) => {
                if let Some(otherwise) = otherwise {
                    self.stack.push(Back::Branch { at: *otherwise, place });
                }
                let height = self.stack.len();
                self.set(*register, height);
                // The place is kept for the end of the look.
                self.calls.push(place);
                self.stack.push(Back::Uncall);
                Some((at + 1, place))
            }
            Op::Cut(register) => {
                self.settle(*register);
                Some((at + 1, place))
            }
            Op::LookEnd(register) => {
                let from = self.settle(*register);
                Some((at + 1, from))
            }
            Op::LookFail(register) => {
                // It holds, so the negative look fails: also the way on that was kept for it is gone.
                self.settle(*register);
                let height = self.slots[*register];
                self.unwind(height);
                self.stack.pop();
                None
            }
            Op::Behind(min, max) => self.behind(at, place, *min, *max),
            Op::AtPlace(register) => (self.slots[*register] == place).then_some((at + 1, place)),
            Op::Call(to) => {
                if self.calls.len() > 1_000 {
                    return None;
                }
                self.calls.push(at + 1);
                self.stack.push(Back::Uncall);
                Some((*to, place))
            }
            Op::Return => {
                let to = self.calls.pop()?;
                self.stack.push(Back::Recall(to));
                Some((to, place))
            }
            Op::IfGroup(number, otherwise) => {
                let matched = self.slots[2 * number + 1] != NONE;
                Some((if matched { at + 1 } else { *otherwise }, place))
            }
            Op::Keep => {
                self.set(0, place);
                Some((at + 1, place))
            }
            Op::Cluster => self.cluster(place).map(|end| (at + 1, end)),
            Op::LineEnd => {
                let rest = &self.text[place..];
                let pair = rest.starts_with("\r\n");
                let single = rest.starts_with(['\n', '\u{b}', '\u{c}', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
                let len = if pair { Some(2) } else { single.then(|| self.next(place).map_or(0, char::len_utf8)) };
                len.map(|len| (at + 1, place + len))
            }
            Op::Run(one, min, max) => self.as_often(one, at, place, *min, *max),
            Op::Match => None,
        }
    }

    fn as_often(&mut self, one: &Op, at: usize, place: usize, min: u32, max: Option<u32>) -> Option<(usize, usize)> {
        let (mut end, mut least, mut count) = (place, place, 0);
        for c in self.text[place..].chars() {
            let matches = match one {
                Op::Char(wanted) => c == *wanted,
                Op::Folded(wanted) => fold(c) == *wanted,
                Op::Any => true,
                Op::NotLineEnd => c != '\n',
                Op::Class(class) => class.has(c),
                _ => false,
            };
            if !matches || max.is_some_and(|max| count >= max) {
                break;
            }
            count += 1;
            end += c.len_utf8();
            if count == min {
                least = end;
            }
        }
        self.ticks += count / 8;
        if count < min {
            return None;
        }
        if end > least {
            self.stack.push(Back::Shorter { at: at + 1, least, place: end });
        }
        Some((at + 1, end))
    }

    /// Forgets the other ways since a look began; the place where it began.
    fn settle(&mut self, register: usize) -> usize {
        let height = self.slots[register];
        let from = self.calls.pop().unwrap_or(0);
        let mut kept = Vec::new();
        for back in self.stack.drain(height.min(self.stack.len())..) {
            match back {
                Back::Slot { .. } => kept.push(back),
                Back::Branch { .. } | Back::Behind { .. } | Back::Shorter { .. } | Back::Uncall | Back::Recall(_) => {}
            }
        }
        self.stack.append(&mut kept);
        from
    }

    fn unwind(&mut self, height: usize) {
        while self.stack.len() > height {
            if let Some(Back::Slot { slot, value }) = self.stack.pop() {
                self.slots[slot] = value;
            }
        }
    }

    /// The last way that was left untried.
    fn back(&mut self) -> Option<(usize, usize)> {
        loop {
            match self.stack.pop()? {
                Back::Branch { at, place } => return Some((at, place)),
                Back::Slot { slot, value } => self.slots[slot] = value,
                Back::Shorter { at, least, place } => {
                    let shorter = place - self.before(place).map_or(0, char::len_utf8);
                    if shorter > least {
                        self.stack.push(Back::Shorter { at, least, place: shorter });
                    }
                    return Some((at, shorter));
                }
                Back::Uncall => _ = self.calls.pop(),
                Back::Recall(to) => self.calls.push(to),
                Back::Behind { at, place, left } => {
                    if let Some(start) = self.further_back(at, place, left) {
                        return Some((at + 1, start));
                    }
                }
            }
        }
    }

    fn behind(&mut self, at: usize, place: usize, min: u32, max: Option<u32>) -> Option<(usize, usize)> {
        let mut start = place;
        for _ in 0..min {
            start -= self.before(start)?.len_utf8();
        }
        let left = max.map(|max| max - min);
        if left != Some(0) {
            self.stack.push(Back::Behind { at, place: start, left });
        }
        Some((at + 1, start))
    }

    fn further_back(&mut self, at: usize, place: usize, left: Option<u32>) -> Option<usize> {
        let start = place - self.before(place)?.len_utf8();
        let left = left.map(|left| left - 1);
        if left != Some(0) {
            self.stack.push(Back::Behind { at, place: start, left });
        }
        Some(start)
    }

    fn count(
        &mut self,
        at: usize,
        place: usize,
        register: usize,
        (min, max): (u32, Option<u32>),
        lazy: bool,
        behind: usize,
    ) -> Option<(usize, usize)> {
        let rounds = self.slots[register];
        let began = self.slots[register + 1];
        let stuck = began == place && rounds >= min as usize;
        let more = max.is_none_or(|max| rounds < max as usize) && !stuck;
        let enough = rounds >= min as usize;
        let (body, out) = ((at + 1, place), (behind, place));
        if !more {
            return enough.then_some(out);
        }
        match (enough, lazy) {
            (false, _) => Some(body),
            (true, true) => {
                self.stack.push(Back::Branch { at: at + 1, place });
                Some(out)
            }
            (true, false) => {
                self.stack.push(Back::Branch { at: behind, place });
                Some(body)
            }
        }
    }

    fn repeated(&self, groups: &[usize], folded: bool, place: usize) -> Option<usize> {
        let matched = groups.iter().rev().find_map(|group| {
            let (from, to) = (self.slots[2 * group], self.slots[2 * group + 1]);
            (from != NONE && to != NONE && from <= to).then(|| &self.text[from..to])
        })?;
        let rest = &self.text[place..];
        if !folded {
            return rest.starts_with(matched).then(|| place + matched.len());
        }
        let mut end = place;
        let mut rest = rest.chars();
        for wanted in matched.chars() {
            let c = rest.next().filter(|c| fold(*c) == fold(wanted))?;
            end += c.len_utf8();
        }
        Some(end)
    }

    fn cluster(&self, place: usize) -> Option<usize> {
        let mut end = place + self.next(place)?.len_utf8();
        if self.text[place..].starts_with("\r\n") {
            return Some(place + 2);
        }
        while let Some(c) = self.next(end).filter(|c| is_mark(*c)) {
            end += c.len_utf8();
        }
        Some(end)
    }

    fn holds(&self, assert: Assert, place: usize) -> bool {
        let text = self.text;
        match assert {
            Assert::TextStart => place == 0,
            Assert::TextEnd => place == text.len(),
            Assert::LastLineEnd => place == text.len() || (place + 1 == text.len() && text.ends_with('\n')),
            // Behind a line end that is the last there is no line.
            Assert::LineStart => place == 0 || (place < text.len() && text.as_bytes()[place - 1] == b'\n'),
            Assert::LineEnd => place == text.len() || text.as_bytes()[place] == b'\n',
            Assert::SearchStart => place == self.search_start,
            Assert::Word | Assert::NotWord => {
                let word = |c: Option<char>| c.is_some_and(is_word);
                (word(self.before(place)) != word(self.next(place))) == (assert == Assert::Word)
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric() || is_mark(c)
}

/// Marks that stand on the character before them.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}' | '\u{200D}')
}
