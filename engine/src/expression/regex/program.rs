//! A tree to instructions.

use super::behind::Counting;
use super::class::Class;
use super::parse::{Assert, Greed, Look, Node, Parsed};

/// Instructions of one expression.
const SIZE_MAX: usize = 20_000;

#[derive(Debug)]
pub enum Op {
    Char(char),
    /// A character in either case: the folded one.
    Folded(char),
    Any,
    NotLineEnd,
    Class(Class),
    Assert(Assert),
    /// Tries the first, then the second.
    Split(usize, usize),
    Jump(usize),
    Save(usize),
    /// The place in a register, which `Progress` compares to.
    Mark(usize),
    /// Goes on behind the loop when a round matched nothing.
    Progress(usize, usize),
    /// A counter begins, or goes on: register, bounds, the body; behind it comes what follows the loop.
    CountStart(usize),
    Count(usize, u32, Option<u32>, bool, usize),
    /// A round begins.
    CountMore(usize),
    Back(Vec<usize>, bool),
    /// What is tried inside is settled: register.
    Cut(usize),
    /// Looks around: where to go on when it does not hold; whether it is negative.
    LookStart(usize, Option<usize>),
    LookEnd(usize),
    LookFail(usize),
    /// Goes back so many characters, then more: least, most.
    Behind(u32, Option<u32>),
    AtPlace(usize),
    Call(usize),
    Return,
    IfGroup(usize, usize),
    Keep,
    Cluster,
    LineEnd,
    /// One of these characters as often as it goes, at least and at most so often; then fewer.
    Run(Box<Op>, u32, Option<u32>),
    Match,
}

#[derive(Debug)]
pub struct Program {
    pub code: Vec<Op>,
    /// Places of groups, and registers behind them.
    pub slots: usize,
    pub groups: usize,
    /// The character that every match begins with.
    pub first: Option<char>,
}

struct Compiler<'p> {
    code: Vec<Op>,
    slots: usize,
    parsed: &'p Parsed,
    behind: Counting<'p>,
    /// Where a called group begins.
    called: Vec<Option<usize>>,
    calls: Vec<(usize, usize)>,
}

pub fn fold(c: char) -> char {
    let mut upper = c.to_uppercase();
    let upper = match (upper.next(), upper.next()) {
        (Some(only), None) => only,
        _ => c,
    };
    let mut lower = upper.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        _ => upper,
    }
}

pub fn compile(parsed: &Parsed) -> Result<Program, String> {
    let groups = parsed.names.len();
    let mut compiler = Compiler {
        code: Vec::new(),
        slots: 2 * (groups + 1),
        parsed,
        behind: Counting::new(parsed),
        called: vec![None; groups + 1],
        calls: Vec::new(),
    };
    compiler.node(&parsed.root)?;
    compiler.code.push(Op::Match);
    compiler.routines()?;
    let first = match compiler.code.first() {
        Some(Op::Char(c)) => Some(*c),
        _ => None,
    };
    Ok(Program { code: compiler.code, slots: compiler.slots, groups, first })
}

/// The fewest and the most characters that a node matches.
pub fn width(node: &Node) -> (u32, Option<u32>) {
    match node {
        Node::Empty | Node::Assert(_) | Node::Look(..) | Node::Keep => (0, Some(0)),
        Node::Char(..) | Node::Any(_) | Node::Class(_) => (1, Some(1)),
        Node::Concat(nodes) => nodes.iter().map(width).fold((0, Some(0)), |(min, max), (least, most)| {
            (min.saturating_add(least), max.and_then(|max: u32| max.checked_add(most?)))
        }),
        Node::Alternate(nodes) => {
            let widths = nodes.iter().map(width);
            let min = widths.clone().map(|(min, _)| min).min().unwrap_or(0);
            (min, widths.map(|(_, max)| max).try_fold(0, |most, max| Some(most.max(max?))))
        }
        Node::Repeat(_, _, Some(0), _) => (0, Some(0)),
        Node::Repeat(node, from, to, _) => {
            let (min, max) = width(node);
            (min.saturating_mul(*from), max.and_then(|max| max.checked_mul((*to)?)))
        }
        Node::Capture(_, node) | Node::Atomic(node) => width(node),
        Node::If(_, yes, no) => width(&Node::Alternate(vec![(**yes).clone(), (**no).clone()])),
        Node::Back { .. } | Node::Call(_) | Node::Cluster => (0, None),
        Node::LineEnd => (1, Some(2)),
    }
}

impl Compiler<'_> {
    fn emit(&mut self, op: Op) -> Result<usize, String> {
        if self.code.len() >= SIZE_MAX {
            return Err("too big number".to_owned());
        }
        self.code.push(op);
        Ok(self.code.len() - 1)
    }

    fn register(&mut self) -> usize {
        self.slots += 1;
        self.slots - 1
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        match node {
            Node::Empty => {}
            Node::Char(c, true) if c.is_alphabetic() => _ = self.emit(Op::Folded(fold(*c)))?,
            Node::Char(c, _) => _ = self.emit(Op::Char(*c))?,
            Node::Any(true) => _ = self.emit(Op::Any)?,
            Node::Any(false) => _ = self.emit(Op::NotLineEnd)?,
            Node::Class(class) => _ = self.emit(Op::Class(class.clone()))?,
            Node::Assert(assert) => _ = self.emit(Op::Assert(*assert))?,
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Alternate(nodes) => self.alternate(nodes)?,
            Node::Repeat(node, min, max, greed) => self.repeat(node, *min, *max, *greed)?,
            Node::Capture(number, inside) => {
                self.emit(Op::Save(2 * number))?;
                self.node(inside)?;
                self.emit(Op::Save(2 * number + 1))?;
            }
            Node::Look(inside, look) => self.look(inside, *look)?,
            Node::Atomic(inside) => {
                let register = self.register();
                self.emit(Op::LookStart(register, None))?;
                self.node(inside)?;
                self.emit(Op::Cut(register))?;
            }
            Node::Back { groups, folded, .. } => _ = self.emit(Op::Back(groups.clone(), *folded))?,
            Node::Call(number) => {
                let at = self.emit(Op::Call(0))?;
                self.calls.push((at, *number));
            }
            Node::If(number, yes, no) => {
                let condition = self.emit(Op::IfGroup(*number, 0))?;
                self.node(yes)?;
                let end = self.emit(Op::Jump(0))?;
                self.code[condition] = Op::IfGroup(*number, self.code.len());
                self.node(no)?;
                self.code[end] = Op::Jump(self.code.len());
            }
            Node::Keep => _ = self.emit(Op::Keep)?,
            Node::Cluster => _ = self.emit(Op::Cluster)?,
            Node::LineEnd => _ = self.emit(Op::LineEnd)?,
        }
        Ok(())
    }

    fn alternate(&mut self, nodes: &[Node]) -> Result<(), String> {
        let mut ends = Vec::new();
        for (place, node) in nodes.iter().enumerate() {
            if place + 1 == nodes.len() {
                self.node(node)?;
                break;
            }
            let split = self.emit(Op::Split(0, 0))?;
            self.node(node)?;
            ends.push(self.emit(Op::Jump(0))?);
            self.code[split] = Op::Split(split + 1, self.code.len());
        }
        let here = self.code.len();
        ends.into_iter().for_each(|end| self.code[end] = Op::Jump(here));
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greed: Greed) -> Result<(), String> {
        if greed == Greed::Possessive {
            let register = self.register();
            self.emit(Op::LookStart(register, None))?;
            self.repeat(node, min, max, Greed::Greedy)?;
            self.emit(Op::Cut(register))?;
            return Ok(());
        }
        let lazy = greed == Greed::Lazy;
        if !lazy && matches!(node, Node::Char(..) | Node::Any(_) | Node::Class(_)) {
            self.node(node)?;
            if let Some(one) = self.code.pop() {
                self.emit(Op::Run(Box::new(one), min, max))?;
            }
            return Ok(());
        }
        match (min, max) {
            (_, Some(0)) => Ok(()),
            (1, Some(1)) => self.node(node),
            (0, Some(1)) => {
                let split = self.emit(Op::Split(0, 0))?;
                self.node(node)?;
                self.code[split] = either(split + 1, self.code.len(), lazy);
                Ok(())
            }
            (0 | 1, None) => {
                if min == 1 && width(node).0 > 0 {
                    // Once, and again from there.
                    let start = self.code.len();
                    self.node(node)?;
                    let split = self.emit(Op::Split(0, 0))?;
                    self.code[split] = either(start, split + 1, lazy);
                    return Ok(());
                }
                if min == 1 {
                    self.node(node)?;
                }
                self.star(node, lazy)
            }
            _ => self.counted(node, min, max, lazy),
        }
    }

    fn star(&mut self, node: &Node, lazy: bool) -> Result<(), String> {
        let empties = width(node).0 == 0;
        let register = self.register();
        let split = self.emit(Op::Split(0, 0))?;
        if empties {
            self.emit(Op::Mark(register))?;
        }
        self.node(node)?;
        if empties {
            let progress = self.emit(Op::Progress(register, 0))?;
            self.emit(Op::Jump(split))?;
            self.code[progress] = Op::Progress(register, self.code.len());
        } else {
            self.emit(Op::Jump(split))?;
        }
        self.code[split] = either(split + 1, self.code.len(), lazy);
        Ok(())
    }

    fn counted(&mut self, node: &Node, min: u32, max: Option<u32>, lazy: bool) -> Result<(), String> {
        // Two registers: how many rounds, and where the last began.
        let register = self.register();
        self.register();
        self.emit(Op::CountStart(register))?;
        let count = self.emit(Op::Count(register, min, max, lazy, 0))?;
        self.emit(Op::CountMore(register))?;
        self.node(node)?;
        self.emit(Op::Jump(count))?;
        self.code[count] = Op::Count(register, min, max, lazy, self.code.len());
        Ok(())
    }

    fn look(&mut self, inside: &Node, look: Look) -> Result<(), String> {
        if look.behind && self.behind.is_always(inside) {
            if look.negative {
                self.emit(Op::Class(Class::default()))?;
            }
            return Ok(());
        }
        let register = self.register();
        let place = self.register();
        let start = self.emit(Op::LookStart(register, None))?;
        if look.behind {
            let (min, max) = width(inside);
            self.emit(Op::Mark(place))?;
            self.emit(Op::Behind(min, max))?;
        }
        self.node(inside)?;
        if look.behind {
            self.emit(Op::AtPlace(place))?;
        }
        if look.negative {
            self.emit(Op::LookFail(register))?;
            self.code[start] = Op::LookStart(register, Some(self.code.len()));
        } else {
            self.emit(Op::LookEnd(register))?;
        }
        Ok(())
    }

    /// Groups that are called, as routines behind the program.
    fn routines(&mut self) -> Result<(), String> {
        let mut at = 0;
        while let Some((call, number)) = self.calls.get(at).copied() {
            at += 1;
            let start = match self.called[number] {
                Some(start) => start,
                None => {
                    let start = self.code.len();
                    self.called[number] = Some(start);
                    if number == 0 {
                        self.node(&self.parsed.root)?;
                    } else if let Some(Some(inside)) = self.parsed.groups.get(number - 1) {
                        self.emit(Op::Save(2 * number))?;
                        self.node(inside)?;
                        self.emit(Op::Save(2 * number + 1))?;
                    }
                    self.emit(Op::Return)?;
                    start
                }
            };
            self.code[call] = Op::Call(start);
        }
        Ok(())
    }
}

const fn either(body: usize, behind: usize, lazy: bool) -> Op {
    if lazy { Op::Split(behind, body) } else { Op::Split(body, behind) }
}
