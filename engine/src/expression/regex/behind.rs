//! What may stand behind: a look-behind matches a fixed number of characters, and only some things are allowed in it. jq
//! refuses all others, so a pattern that works here works there. Oniguruma's way of counting is followed, also where it shortens
//! repetitions at the start of a look and not elsewhere.

mod reduce;

use reduce::{is_reduced, pieces};

use super::parse::{Assert, Node, Parsed};

/// The most characters that a look goes back.
const LENGTH_MAX: u32 = 65_535;

/// Refuses look-behinds that are not of one length.
pub fn check(parsed: &Parsed) -> Result<(), String> {
    let mut counting = Counting::new(parsed);
    counting.untuned.fill(true);
    counting.check(&parsed.root)
}

/// The nodes within a node; not what it calls.
pub fn children(node: &Node) -> Vec<&Node> {
    match node {
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().collect(),
        Node::Repeat(inside, ..) | Node::Capture(_, inside) | Node::Look(inside, _) | Node::Atomic(inside) => {
            vec![&**inside]
        }
        Node::If(_, yes, no) => vec![&**yes, &**no],
        Node::Empty
        | Node::Char(..)
        | Node::Any(_)
        | Node::Class(_)
        | Node::Assert(_)
        | Node::Back { .. }
        | Node::Call(_)
        | Node::Keep
        | Node::Cluster
        | Node::LineEnd => Vec::new(),
    }
}

fn allowed(node: &Node, negative: bool) -> bool {
    let own = match node {
        Node::Assert(assert) => !matches!(assert, Assert::TextEnd | Assert::LastLineEnd),
        Node::Look(_, look) => look.behind && (negative || !look.negative),
        Node::Capture(..) => !negative,
        Node::Cluster => false,
        _ => true,
    };
    own && children(node).into_iter().all(|child| allowed(child, negative))
}

/// The groups that a pattern refers to.
fn referred(parsed: &Parsed) -> Vec<bool> {
    let mut referred = vec![false; parsed.groups.len() + 1];
    let mut open = vec![&parsed.root];
    while let Some(node) = open.pop() {
        let numbers = match node {
            Node::Back { groups, .. } => &groups[..],
            Node::Call(number) | Node::If(number, ..) => std::slice::from_ref(number),
            _ => &[],
        };
        numbers.iter().for_each(|number| referred[*number] = true);
        open.extend(children(node));
    }
    referred
}

/// The fewest and the most characters that something matches, and whether nothing that it asks of a place, and no group, stands in
/// the way of the fewest.
#[derive(Clone, Copy)]
struct Length {
    min: u32,
    max: Option<u32>,
    is_sure: bool,
}

impl Length {
    const fn exactly(chars: u32) -> Length {
        Length { min: chars, max: Some(chars), is_sure: true }
    }

    const UNKNOWN: Length = Length { min: 0, max: None, is_sure: false };

    fn then(self, next: Length) -> Length {
        let max = self.max.zip(next.max).and_then(|(a, b)| a.checked_add(b));
        Length { min: self.min.saturating_add(next.min), max, is_sure: self.is_sure && next.is_sure }
    }

    fn or(self, other: Length) -> Length {
        let is_sure = (self.is_sure && self.min <= other.min) || (other.is_sure && other.min <= self.min);
        Length { min: self.min.min(other.min), max: self.max.zip(other.max).map(|(a, b)| a.max(b)), is_sure }
    }
}

/// Counts characters. `None` for what is refused whatever its length.
pub struct Counting<'p> {
    parsed: &'p Parsed,
    referred: Vec<bool>,
    /// Groups that were counted before: they may call each other many times.
    known: Vec<Option<Length>>,
    /// Groups around the place that is looked at, or being counted.
    open: Vec<usize>,
    /// Groups behind the place that is looked at. Their letters in either case have no length yet.
    untuned: Vec<bool>,
    within_untuned: bool,
}

impl<'p> Counting<'p> {
    pub fn new(parsed: &'p Parsed) -> Counting<'p> {
        let count = parsed.groups.len() + 1;
        Counting {
            parsed,
            referred: referred(parsed),
            known: vec![None; count],
            open: Vec::new(),
            untuned: vec![false; count],
            within_untuned: false,
        }
    }

    /// Refuses what is wrong in a node, in the order in which Oniguruma looks through a pattern.
    fn check(&mut self, node: &Node) -> Result<(), String> {
        if let Node::Capture(number, _) = node {
            self.open.push(*number);
        }
        children(node).into_iter().try_for_each(|child| self.check(child))?;
        if let Node::Capture(number, _) = node {
            self.open.pop();
            self.untuned[*number] = false;
        }
        match node {
            Node::Look(inside, look) if look.behind && !(allowed(inside, look.negative) && self.is_right(inside)) => {
                Err("invalid pattern in look-behind".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Whether it has one length, or needs none.
    fn is_right(&mut self, inside: &Node) -> bool {
        let Some(length) = self.of_look(inside) else { return false };
        let is_near = length.max.unwrap_or(length.min) <= LENGTH_MAX;
        is_near && (length.max == Some(length.min) || self.is_always(inside))
    }

    /// Whether what stands in a look-behind may be empty whatever is around it, so that the look always holds.
    pub fn is_always(&mut self, inside: &Node) -> bool {
        let empty = |length: Length| length.min == 0 && length.is_sure;
        self.of_look(inside).is_some_and(empty) && !self.is_used(inside)
    }

    /// Whether the rest of the pattern depends on it: on where the match begins, or on a group in it.
    fn is_used(&self, inside: &Node) -> bool {
        let own = match inside {
            Node::Keep => true,
            Node::Capture(number, _) => self.referred[*number],
            _ => false,
        };
        own || children(inside).into_iter().any(|child| self.is_used(child))
    }

    fn of_look(&mut self, inside: &Node) -> Option<Length> {
        match inside {
            Node::Alternate(branches) => self.of_any(branches, Counting::of_branch),
            one => self.of_branch(one),
        }
    }

    /// Repetitions of one thing that a branch begins with count with their fewest, for more of them change nothing; up to the first
    /// that must be there. Several of which nothing is left are an error of Oniguruma's.
    fn of_branch(&mut self, branch: &Node) -> Option<Length> {
        let pieces = pieces(branch);
        let (mut total, mut leads) = (Length::exactly(0), true);
        for (place, piece) in pieces.iter().enumerate() {
            let own = match piece {
                Node::Repeat(one, least, most, greed)
                    if leads && is_reduced(one, (*least, *most), *greed, &pieces[place + 1..]) =>
                {
                    leads = *least == 0;
                    self.repeated(one, *least, Some(*least))?
                }
                other => {
                    leads = false;
                    self.of(other)?
                }
            };
            total = total.then(own);
        }
        (!leads || pieces.len() == 1).then_some(total)
    }

    fn of(&mut self, node: &Node) -> Option<Length> {
        Some(match node {
            Node::Empty | Node::Keep => Length::exactly(0),
            Node::Assert(_) | Node::Look(..) => {
                let is_sure = matches!(node, Node::Look(inside, look) if look.behind && self.is_always(inside));
                Length { is_sure, ..Length::exactly(0) }
            }
            Node::Char(_, folded) if *folded && self.within_untuned => return None,
            // Of such a character the other forms are not looked for, but counted.
            Node::Class(class) if class.holds_several => Length { min: 1, max: Some(3), is_sure: true },
            Node::Char(..) | Node::Any(_) | Node::Class(_) => Length::exactly(1),
            Node::LineEnd => Length { min: 1, max: Some(2), is_sure: true },
            Node::Cluster => Length::UNKNOWN,
            Node::Concat(nodes) => {
                let mut total = Length::exactly(0);
                for node in nodes {
                    total = total.then(self.of(node)?);
                }
                total
            }
            Node::Alternate(branches) => self.of_any(branches, Counting::of)?,
            Node::Repeat(inside, least, most, _) => self.repeated(inside, *least, *most)?,
            Node::Atomic(inside) => self.of(inside)?,
            Node::If(_, yes, no) => {
                let yes = self.of(yes)?;
                Length { is_sure: false, ..yes }.or(self.of(no)?)
            }
            Node::Capture(number, _) | Node::Call(number) => self.of_group(number)?,
            Node::Back { within: true, .. } => Length { is_sure: false, ..Length::exactly(0) },
            Node::Back { groups, .. } => self.of_any(groups, Counting::of_group)?,
        })
    }

    fn repeated(&mut self, inside: &Node, least: u32, most: Option<u32>) -> Option<Length> {
        if most == Some(0) {
            return Some(Length::exactly(0));
        }
        let once = self.of(inside)?;
        let max = once.max.zip(most).and_then(|(once, most)| once.checked_mul(most));
        Some(Length { min: once.min.saturating_mul(least), max, ..once })
    }

    fn of_any<T>(&mut self, ways: &[T], of: impl Fn(&mut Self, &T) -> Option<Length>) -> Option<Length> {
        let mut length: Option<Length> = None;
        for way in ways {
            let own = of(self, way)?;
            length = Some(length.map_or(own, |length| length.or(own)));
        }
        length
    }

    fn of_group(&mut self, number: &usize) -> Option<Length> {
        let inside = number.checked_sub(1).and_then(|place| self.parsed.groups.get(place)?.as_ref());
        let Some(inside) = inside.filter(|_| !self.open.contains(number)) else { return Some(Length::UNKNOWN) };
        if self.known[*number].is_some() {
            return self.known[*number];
        }
        self.open.push(*number);
        let before = self.within_untuned;
        self.within_untuned = before || self.untuned[*number];
        let length = self.of(inside).map(|length| Length { is_sure: false, ..length });
        self.within_untuned = before;
        self.open.pop();
        self.known[*number] = length;
        length
    }
}
