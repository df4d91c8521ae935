//! The syntax tree of an expression, as a flat list of nodes: it is built, walked and dropped without nesting calls.

use ecow::EcoString;

use super::SyntaxError;
use crate::value::Value;

/// The deepest nesting of a program.
pub(super) const DEPTH_MAX: u16 = 256;

/// A node of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u32);

/// Where something stands in the source, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub offset: usize,
    pub len: usize,
}

/// A filter.
#[derive(Debug, Clone)]
pub(super) enum Ast {
    Identity,
    Literal(Value),
    /// Text with interpolations, each formatted.
    Text(EcoString, Vec<Part>),
    /// `@name` without text.
    Format(EcoString),
    /// `.[key]`; true: with a `?`.
    Index(Id, Id, bool),
    /// `.[from:to]`; true: with a `?`.
    Slice(Id, Option<Id>, Option<Id>, bool),
    /// `.[]`; true: with a `?`.
    Iterate(Id, bool),
    Try(Id, Option<Id>),
    Negate(Id),
    Pipe(Vec<Id>),
    Comma(Vec<Id>),
    Binary(Operator, Id, Id),
    And(Id, Id),
    Or(Id, Id),
    Alternative(Id, Id),
    If(Id, Id, Option<Id>),
    Reduce(Id, Vec<Pattern>, Id, Id),
    Foreach(Id, Vec<Pattern>, Id, Id, Option<Id>),
    /// Key and value; without a value it is the member of the input with that key.
    Object(Vec<(Id, Option<Id>)>),
    Array(Option<Id>),
    Variable(EcoString, Place),
    Bind(Id, Vec<Pattern>, Id),
    Define(Function, Id),
    Call(EcoString, Vec<Id>, Place),
    Assign(Assignment, Id, Id),
    Label(EcoString, Id),
    Break(EcoString, Place),
}

/// A part of a text.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Plain(EcoString),
    Filter(Id),
}

/// What stands between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What stands between a path and what is assigned to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assignment {
    /// `=`
    Set,
    /// `|=`
    Update,
    /// `+=` and its like.
    Modify(Operator),
    /// `//=`
    Default,
}

/// A destructuring pattern.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Variable(EcoString),
    Array(Vec<Pattern>),
    /// Key, the variable that the key itself names, and the pattern of its value.
    Object(Vec<(Id, Option<EcoString>, Option<Pattern>)>),
}

impl Pattern {
    /// The variables that it binds.
    pub fn variables(&self, found: &mut Vec<EcoString>) {
        match self {
            Pattern::Variable(name) => found.push(name.clone()),
            Pattern::Array(items) => items.iter().for_each(|item| item.variables(found)),
            Pattern::Object(members) => {
                for (_, name, pattern) in members {
                    found.extend(name.clone());
                    if let Some(pattern) = pattern {
                        pattern.variables(found);
                    }
                }
            }
        }
    }

    fn filters(&self, visit: &mut dyn FnMut(Id)) {
        match self {
            Pattern::Variable(_) => {}
            Pattern::Array(items) => items.iter().for_each(|item| item.filters(visit)),
            Pattern::Object(members) => {
                for (key, _, pattern) in members {
                    visit(*key);
                    if let Some(pattern) = pattern {
                        pattern.filters(visit);
                    }
                }
            }
        }
    }
}

/// A `def`.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub name: EcoString,
    /// Parameters; those that begin with `$` are values.
    pub parameters: Vec<EcoString>,
    pub body: Id,
}

impl Ast {
    /// The filters within it.
    pub fn children(&self, visit: &mut dyn FnMut(Id)) {
        match self {
            Ast::Identity | Ast::Literal(_) | Ast::Format(_) | Ast::Variable(..) | Ast::Break(..) => {}
            Ast::Text(_, parts) => {
                for part in parts {
                    if let Part::Filter(filter) = part {
                        visit(*filter);
                    }
                }
            }
            Ast::Negate(a) | Ast::Iterate(a, _) | Ast::Label(_, a) => visit(*a),
            Ast::Array(a) => a.iter().copied().for_each(visit),
            Ast::Try(a, b) => [Some(*a), *b].into_iter().flatten().for_each(visit),
            Ast::Slice(a, b, c, _) => [Some(*a), *b, *c].into_iter().flatten().for_each(visit),
            Ast::If(a, b, c) => [Some(*a), Some(*b), *c].into_iter().flatten().for_each(visit),
            Ast::Pipe(list) | Ast::Comma(list) | Ast::Call(_, list, _) => list.iter().copied().for_each(visit),
            Ast::Index(a, b, _)
            | Ast::Binary(_, a, b)
            | Ast::And(a, b)
            | Ast::Or(a, b)
            | Ast::Alternative(a, b)
            | Ast::Assign(_, a, b) => [*a, *b].into_iter().for_each(visit),
            Ast::Object(members) => members.iter().for_each(|(key, value)| {
                visit(*key);
                value.iter().copied().for_each(&mut *visit);
            }),
            Ast::Define(function, rest) => [function.body, *rest].into_iter().for_each(visit),
            Ast::Bind(source, patterns, body) => {
                visit(*source);
                patterns.iter().for_each(|pattern| pattern.filters(visit));
                visit(*body);
            }
            Ast::Reduce(source, patterns, init, update) => {
                patterns.iter().for_each(|pattern| pattern.filters(visit));
                [*source, *init, *update].into_iter().for_each(visit);
            }
            Ast::Foreach(source, patterns, init, update, extract) => {
                patterns.iter().for_each(|pattern| pattern.filters(visit));
                [Some(*source), Some(*init), Some(*update), *extract].into_iter().flatten().for_each(visit);
            }
        }
    }
}

/// The nodes of a program, each after those within it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tree {
    nodes: Vec<(Ast, u16)>,
}

impl Tree {
    /// Adds a node. `place` is where an error points to.
    ///
    /// # Errors
    /// When it is nested too deep.
    pub fn add(&mut self, ast: Ast, place: Place) -> Result<Id, SyntaxError> {
        let depth = self.depth_of(&ast);
        if depth > DEPTH_MAX {
            let message = format!("the expression is nested too deep: more than {DEPTH_MAX} filters within each other");
            return Err(SyntaxError { message, offset: place.offset, len: place.len });
        }
        let id = Id(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push((ast, depth));
        Ok(id)
    }

    /// A chain of operators, which leans to the left, counts as one level.
    fn depth_of(&self, ast: &Ast) -> u16 {
        if let Ast::Binary(_, left, right) = ast {
            let own = u16::from(!matches!(self.get(*left), Ast::Binary(..)));
            return (self.depth(*left) + own).max(self.depth(*right) + 1);
        }
        let mut depth = 0;
        ast.children(&mut |child| depth = depth.max(self.depth(child)));
        depth + 1
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Ast> {
        self.nodes.iter().map(|(ast, _)| ast)
    }

    pub fn get(&self, id: Id) -> &Ast {
        &self.nodes[id.0 as usize].0
    }

    /// How many filters are within each other, this one counted.
    pub fn depth(&self, id: Id) -> u16 {
        self.nodes[id.0 as usize].1
    }

    /// How often a function of that name and arity is called within a node.
    pub fn calls(&self, within: Id, name: &str, arity: usize) -> usize {
        let mut open = vec![within];
        let mut found = 0;
        while let Some(id) = open.pop() {
            if let Ast::Call(own, arguments, _) = self.get(id) {
                found += usize::from(own == name && arguments.len() == arity);
            }
            self.get(id).children(&mut |child| open.push(child));
        }
        found
    }
}
