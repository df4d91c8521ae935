//! A pattern to a tree.

mod escape;
mod repeat;
mod set;

use ecow::EcoString;

use super::class::Class;
use super::{Options, behind, recursion};

/// Groups within each other.
const DEPTH_MAX: usize = 60;

/// The highest number of a repetition.
const REPEAT_MAX: u32 = 100_000;

#[derive(Clone, Debug)]
pub enum Node {
    Empty,
    Char(char, bool),
    /// `.`; true: line ends too.
    Any(bool),
    Class(Class),
    Assert(Assert),
    /// Of one: a group with options of its own.
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat(Box<Node>, u32, Option<u32>, Greed),
    /// A group that keeps what it matched.
    Capture(usize, Box<Node>),
    Look(Box<Node>, Look),
    Atomic(Box<Node>),
    /// What one of the groups matched, the last of them first.
    Back {
        groups: Vec<usize>,
        folded: bool,
        /// It stands in one of them.
        within: bool,
    },
    Call(usize),
    If(usize, Box<Node>, Box<Node>),
    /// The match begins here.
    Keep,
    /// `\X`, roughly: a character and the marks on it. `\R`: a line end.
    Cluster,
    LineEnd,
}

impl Node {
    /// Whether a quantifier may stand behind it: not where there is nothing but a place, unless a group keeps it.
    fn is_repeatable(&self) -> bool {
        match self {
            Node::Assert(_) | Node::Look(..) | Node::Keep => false,
            Node::Alternate(branches) => branches.iter().all(Node::is_repeatable),
            _ => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greed {
    Greedy,
    Lazy,
    Possessive,
}

#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub behind: bool,
    pub negative: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assert {
    TextStart,
    TextEnd,
    /// At the end, or before a line end that is last.
    LastLineEnd,
    LineStart,
    LineEnd,
    Word,
    NotWord,
    SearchStart,
}

/// A whole pattern.
pub struct Parsed {
    pub root: Node,
    pub names: Vec<Option<EcoString>>,
    /// The nodes of the groups that are called.
    pub groups: Vec<Option<Node>>,
}

type Read<T = Node> = Result<T, String>;

struct Parser<'a> {
    rest: &'a str,
    options: Options,
    names: Vec<Option<EcoString>>,
    groups: Vec<Option<Node>>,
    /// Groups that may be referred to: how many there are in the whole pattern, and their names.
    count: usize,
    all_names: Vec<(EcoString, usize)>,
    /// What is wrong with a call: all that is wrong otherwise is named before it.
    wrong_call: Option<String>,
    depth: usize,
}

fn wrong<T>(message: &str) -> Read<T> {
    Err(message.to_owned())
}

pub fn parse(pattern: &str, options: Options) -> Read<Parsed> {
    // Twice: a reference may stand before its group.
    let mut first = Parser::new(pattern, options, usize::MAX, Vec::new());
    first.whole()?;
    let named = first.names.iter().enumerate().filter_map(|(at, name)| Some((name.clone()?, at + 1))).collect();
    let count = first.names.len();
    let mut second = Parser::new(pattern, options, count, named);
    let root = second.whole()?;
    if let Some(wrong) = second.wrong_call {
        return Err(wrong);
    }
    let parsed = Parsed { root, names: second.names, groups: second.groups };
    recursion::check(&parsed)?;
    behind::check(&parsed)?;
    Ok(parsed)
}

impl<'a> Parser<'a> {
    fn new(rest: &'a str, options: Options, count: usize, all_names: Vec<(EcoString, usize)>) -> Parser<'a> {
        Parser { rest, options, names: Vec::new(), groups: Vec::new(), count, all_names, wrong_call: None, depth: 0 }
    }

    /// Whether the groups are only being counted.
    const fn counts(&self) -> bool {
        self.count == usize::MAX
    }

    fn whole(&mut self) -> Read {
        let root = self.alternatives()?;
        if self.rest.is_empty() { Ok(root) } else { wrong("unmatched close parenthesis") }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn alternatives(&mut self) -> Read {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return wrong("too deep nest level");
        }
        // An option such as `(?i)` holds up to the end of the group.
        let options = self.options;
        let mut branches = vec![self.sequence()?];
        while self.take("|") {
            branches.push(self.sequence()?);
        }
        self.options = options;
        self.depth -= 1;
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Alternate(branches) })
    }

    fn sequence(&mut self) -> Read {
        let mut nodes = Vec::new();
        loop {
            self.skip();
            match self.peek() {
                None | Some('|' | ')') => break,
                Some('{') => {
                    let start = self.rest;
                    if self.interval()?.is_some() {
                        return wrong("target of repeat operator is not specified");
                    }
                    self.rest = start;
                }
                Some(_) => {}
            }
            let quantified = nodes.len();
            self.item(&mut nodes)?;
            self.quantifiers(&mut nodes, quantified)?;
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// In an extended pattern: space and comments.
    fn skip(&mut self) {
        loop {
            if self.rest.starts_with("(?#") {
                let end = self.rest.find(')').map_or(self.rest.len(), |at| at + 1);
                self.rest = &self.rest[end..];
            } else if self.options.extended && self.rest.starts_with('#') {
                let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
                self.rest = &self.rest[end..];
            } else if self.options.extended && self.rest.starts_with([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']) {
                self.rest = &self.rest[1..];
            } else {
                return;
            }
        }
    }

    fn char(&self, c: char) -> Node {
        Node::Char(c, self.options.ignore_case)
    }

    fn item(&mut self, nodes: &mut Vec<Node>) -> Read<()> {
        let Some(c) = self.next() else { return Ok(()) };
        let node = match c {
            '.' => Node::Any(self.options.dot_all),
            '^' if self.options.lines => Node::Assert(Assert::LineStart),
            '^' => Node::Assert(Assert::TextStart),
            '$' if self.options.lines => Node::Assert(Assert::LineEnd),
            '$' => Node::Assert(Assert::LastLineEnd),
            '[' => {
                let mut set = self.set()?;
                set.sort();
                Node::Class(set)
            }
            '(' => match self.group()? {
                Some(node) => node,
                None => return Ok(()),
            },
            '*' | '+' | '?' => return wrong("target of repeat operator is not specified"),
            '\\' => {
                if self.take("Q") {
                    let (text, rest) = self.rest.split_once("\\E").unwrap_or((self.rest, ""));
                    self.rest = rest;
                    nodes.extend(text.chars().map(|c| self.char(c)));
                    return Ok(());
                }
                self.escape()?
            }
            c => self.char(c),
        };
        nodes.push(node);
        Ok(())
    }

    fn quantifiers(&mut self, nodes: &mut Vec<Node>, from: usize) -> Read<()> {
        loop {
            self.skip();
            let (min, max, interval) = match self.peek() {
                Some('*') => (0, None, false),
                Some('+') => (1, None, false),
                Some('?') => (0, Some(1), false),
                Some('{') => match self.interval()? {
                    Some((min, max)) => (min, max, true),
                    None => return Ok(()),
                },
                _ => return Ok(()),
            };
            if !interval {
                self.next();
            }
            if nodes.len() == from {
                return wrong("target of repeat operator is not specified");
            }
            let greed = if self.take("?") {
                Greed::Lazy
            } else if self.take("+") {
                Greed::Possessive
            } else {
                Greed::Greedy
            };
            if let Some(node) = nodes.pop() {
                if !node.is_repeatable() {
                    return wrong("target of repeat operator is invalid");
                }
                nodes.push(repeat::repeated(node, min, max, greed));
            }
        }
    }

    /// `{n}`, `{n,}`, `{n,m}`; anything else stands for itself.
    fn interval(&mut self) -> Read<Option<(u32, Option<u32>)>> {
        let Some((inside, rest)) = self.rest[1..].split_once('}') else { return Ok(None) };
        let (min, max) = inside.split_once(',').unwrap_or((inside, inside));
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
        };
        let (Some(min), max) = (number(min), if max.is_empty() { Some(None) } else { number(max).map(Some) }) else {
            return Ok(None);
        };
        let Some(max) = max else { return Ok(None) };
        if min > REPEAT_MAX || max.is_some_and(|max| max > REPEAT_MAX) {
            return wrong("too big number");
        }
        if max.is_some_and(|max| max < min) {
            return wrong("upper is smaller than lower in repeat range");
        }
        self.rest = rest;
        Ok(Some((min, max)))
    }

    /// After a `(`. `None`: an option for what follows.
    fn group(&mut self) -> Read<Option<Node>> {
        if !self.take("?") {
            let number = self.open(None);
            return self.capture(number).map(Some);
        }
        let look = |behind, negative| Look { behind, negative };
        let looked =
            [("=", look(false, false)), ("!", look(false, true)), ("<=", look(true, false)), ("<!", look(true, true))];
        for (sign, look) in looked {
            if self.take(sign) {
                return Ok(Some(Node::Look(Box::new(self.inside()?), look)));
            }
        }
        if self.take(":") {
            return self.inside().map(Some);
        }
        if self.take(">") {
            return Ok(Some(Node::Atomic(Box::new(self.inside()?))));
        }
        if self.take("<") {
            let name = self.name('>')?;
            let number = self.open(Some(name));
            return self.capture(number).map(Some);
        }
        if self.take("'") {
            let name = self.name('\'')?;
            let number = self.open(Some(name));
            return self.capture(number).map(Some);
        }
        if self.take("(") {
            return self.conditional().map(Some);
        }
        self.set_options()
    }

    fn open(&mut self, name: Option<EcoString>) -> usize {
        self.names.push(name);
        self.groups.push(None);
        self.names.len()
    }

    fn capture(&mut self, number: usize) -> Read {
        let inside = self.inside()?;
        self.groups[number - 1] = Some(inside.clone());
        Ok(Node::Capture(number, Box::new(inside)))
    }

    fn inside(&mut self) -> Read {
        let node = self.alternatives()?;
        if self.take(")") { Ok(node) } else { wrong("end pattern with unmatched parenthesis") }
    }

    fn name(&mut self, close: char) -> Read<EcoString> {
        let (name, rest) = self.rest.split_once(close).unwrap_or((self.rest, ""));
        let closed = name.len() < self.rest.len();
        let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if !closed || !starts || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            return Err(if name.is_empty() && closed {
                "group name is empty".to_owned()
            } else {
                format!("invalid group name <{name}>")
            });
        }
        self.rest = rest;
        Ok(name.into())
    }

    fn conditional(&mut self) -> Read {
        let Some((condition, rest)) = self.rest.split_once(')') else {
            return wrong("end pattern with unmatched parenthesis");
        };
        let plain = condition.trim_matches(['<', '>', '\'']);
        let number = match plain.parse() {
            Ok(number) => Some(number),
            Err(_) if plain == condition => self.numbers(plain).pop(),
            Err(_) => match self.numbers_so_far(plain).pop() {
                None => return Err(format!("undefined name <{plain}> reference")),
                number => number,
            },
        };
        let number = if self.counts() { Some(1) } else { number };
        let Some(number) = number.filter(|number| *number <= self.count) else {
            return wrong("invalid backref number/name");
        };
        self.rest = rest;
        let mut branches = match self.inside()? {
            Node::Alternate(branches) => branches,
            node => vec![node],
        };
        if branches.len() > 2 {
            return wrong("invalid if-else syntax");
        }
        let otherwise = if branches.len() == 2 { branches.remove(1) } else { Node::Empty };
        Ok(Node::If(number, Box::new(branches.remove(0)), Box::new(otherwise)))
    }

    /// `(?i)` and `(?i:…)`.
    fn set_options(&mut self) -> Read<Option<Node>> {
        if self.rest.starts_with('-') {
            // Where options begin with a minus, jq's syntax expects the number of a group.
            return wrong("invalid group name <>");
        }
        let before = self.options;
        let mut on = true;
        loop {
            match self.next() {
                Some('-') => on = false,
                Some('i') => self.options.ignore_case = on,
                Some('x') => self.options.extended = on,
                Some('s') => self.options.dot_all = on,
                Some('m') => self.options.lines = on,
                Some(')') => return Ok(None),
                Some(':') => {
                    let inside = self.inside()?;
                    self.options = before;
                    return Ok(Some(Node::Concat(vec![inside])));
                }
                Some(_) => return wrong("undefined group option"),
                None => return wrong("end pattern in group"),
            }
        }
    }

    /// The groups of a name that have begun so far.
    fn numbers_so_far(&self, name: &str) -> Vec<usize> {
        let named = |(at, own): (usize, &Option<EcoString>)| (own.as_deref() == Some(name)).then_some(at + 1);
        self.names.iter().enumerate().filter_map(named).collect()
    }

    fn numbers(&self, name: &str) -> Vec<usize> {
        self.all_names.iter().filter(|(own, _)| own == name).map(|(_, number)| *number).collect()
    }
}
