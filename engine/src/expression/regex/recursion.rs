//! Groups that call themselves without end: Oniguruma refuses a pattern in which a group can't but call itself, or does so before
//! it has matched a character. Its way of finding them is followed, also where it finds more than there are.

use super::behind::children;
use super::parse::{Node, Parsed};

/// Nodes that are visited for one pattern, and within each other. What is not seen by then is let through: the search is counted.
const VISITS_MAX: usize = 4_000;
const DEPTH_MAX: usize = 500;

/// Refuses calls that never end.
pub fn check(parsed: &Parsed) -> Result<(), String> {
    let called = called(parsed);
    let count = parsed.groups.len() + 1;
    let mut search = Search {
        parsed,
        begun: vec![false; count],
        passed: vec![false; count],
        moves: vec![None; count],
        visits: 0,
        depth: 0,
    };
    for number in (0..count).filter(|number| called[*number]) {
        let Some(inside) = body(parsed, number) else { continue };
        search.begun[number] = true;
        if !matches!(search.calls(inside, true), Ok(false)) {
            return Err("never ending recursion".to_owned());
        }
        search.begun[number] = false;
    }
    Ok(())
}

fn body(parsed: &Parsed, number: usize) -> Option<&Node> {
    match number {
        0 => Some(&parsed.root),
        number => parsed.groups.get(number - 1)?.as_ref(),
    }
}

/// Which groups are called from where something can match, and from these.
fn called(parsed: &Parsed) -> Vec<bool> {
    let mut called = vec![false; parsed.groups.len() + 1];
    let (mut nodes, mut within_call) = (vec![&parsed.root], Vec::new());
    loop {
        let (node, all) = match nodes.pop() {
            Some(node) => (node, false),
            None => match within_call.pop() {
                Some(node) => (node, true),
                None => return called,
            },
        };
        match node {
            Node::Repeat(_, _, Some(0), _) if !all => {}
            Node::Call(number) => {
                if let Some(seen) = called.get_mut(*number)
                    && !std::mem::replace(seen, true)
                {
                    within_call.extend(body(parsed, *number));
                }
            }
            node => if all { &mut within_call } else { &mut nodes }.extend(children(node)),
        }
    }
}

/// It calls itself before it has matched a character.
struct Endless;

struct Search<'p> {
    parsed: &'p Parsed,
    /// The group that is looked at, and those whose least width is being asked.
    begun: Vec<bool>,
    /// Groups on the way to here.
    passed: Vec<bool>,
    /// Whether a group matches at least a character, once that is known.
    moves: Vec<Option<bool>>,
    visits: usize,
    depth: usize,
}

impl Search<'_> {
    fn enter(&mut self) -> bool {
        self.visits += 1;
        self.depth += 1;
        self.visits <= VISITS_MAX && self.depth <= DEPTH_MAX
    }

    /// Whether a node can't but call the group that is looked at; `head`: nothing has been matched before it.
    fn calls(&mut self, node: &Node, head: bool) -> Result<bool, Endless> {
        let must = if self.enter() { self.calls_within(node, head) } else { Ok(false) };
        self.depth -= 1;
        must
    }

    fn calls_within(&mut self, node: &Node, mut head: bool) -> Result<bool, Endless> {
        match node {
            Node::Concat(nodes) => {
                let mut must = false;
                for node in nodes {
                    must |= self.calls(node, head)?;
                    head = head && !self.moves(node);
                }
                Ok(must)
            }
            Node::Alternate(nodes) => {
                nodes.iter().try_fold(true, |must, node| self.calls(node, head).map(|own| must && own))
            }
            Node::If(_, yes, no) => {
                let must = self.calls(yes, head)?;
                Ok(self.calls(no, head)? && must)
            }
            Node::Repeat(_, _, Some(0), _) => Ok(false),
            Node::Repeat(inside, least, ..) => Ok(self.calls(inside, head)? && *least > 0),
            Node::Look(inside, _) | Node::Atomic(inside) => self.calls(inside, head),
            Node::Capture(number, inside) => self.group(*number, inside, head),
            Node::Call(number) => match body(self.parsed, *number) {
                Some(inside) => self.group(*number, inside, head),
                None => Ok(false),
            },
            _ => Ok(false),
        }
    }

    fn group(&mut self, number: usize, inside: &Node, head: bool) -> Result<bool, Endless> {
        if self.passed[number] {
            return Ok(false);
        }
        if self.begun[number] {
            return if head { Err(Endless) } else { Ok(true) };
        }
        self.passed[number] = true;
        let must = self.calls(inside, head);
        self.passed[number] = false;
        must
    }

    /// Whether a node matches at least a character.
    fn moves(&mut self, node: &Node) -> bool {
        let moves = self.enter() && self.moves_within(node);
        self.depth -= 1;
        moves
    }

    fn moves_within(&mut self, node: &Node) -> bool {
        match node {
            Node::Char(..) | Node::Any(_) | Node::Class(_) | Node::Cluster | Node::LineEnd => true,
            Node::Empty | Node::Assert(_) | Node::Look(..) | Node::Keep => false,
            Node::Concat(nodes) => nodes.iter().any(|node| self.moves(node)),
            Node::Alternate(nodes) => nodes.iter().all(|node| self.moves(node)),
            Node::If(_, yes, no) => self.moves(yes) && self.moves(no),
            Node::Repeat(inside, least, ..) => *least > 0 && self.moves(inside),
            Node::Atomic(inside) => self.moves(inside),
            Node::Capture(number, _) | Node::Call(number) => self.group_moves(*number),
            // A group that a reference stands in has not matched yet.
            Node::Back { groups, .. } => groups
                .iter()
                .all(|number| !self.passed.get(*number).is_some_and(|passed| *passed) && self.group_moves(*number)),
        }
    }

    fn group_moves(&mut self, number: usize) -> bool {
        let Some(inside) = body(self.parsed, number) else { return false };
        if let Some(known) = self.moves[number] {
            return known;
        }
        if self.begun[number] {
            return false;
        }
        self.begun[number] = true;
        let moves = self.moves(inside);
        self.begun[number] = false;
        self.moves[number] = Some(moves);
        moves
    }
}
