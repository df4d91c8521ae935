//! The short way: most expressions of workflows need no backtracking. They are a tree whose nodes give one output each, or
//! several one after the other to whoever asks; what is only looked at is borrowed, and nothing is built but results.
//!
//! One step decides whether an expression goes this way ([`build`]): no names that call themselves, no paths that are computed,
//! no `break`, no patterns. The tree is walked by nested calls, as deep as the tree is, which is bounded. That both ways answer
//! the same is tested with every recorded answer and by a fuzzer.

mod build;
mod reads;
mod walk;

use ecow::EcoString;

use super::ast::Operator;
use super::builtins::Native;
use crate::value::Value;

pub(super) use build::build;
pub use reads::Reads;
pub(super) use walk::Walk;

/// How many outputs a node gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    One,
    /// One or none.
    Maybe,
    Any,
}

/// An expression that goes the short way.
#[derive(Debug)]
pub(super) struct Fast {
    node: Node,
    locals: usize,
}

/// A filter and how many outputs it gives.
#[derive(Debug)]
struct Node {
    kind: Kind,
    count: Count,
}

type Boxed = Box<Node>;

#[derive(Debug)]
enum Kind {
    Input,
    Constant(Value),
    Argument(usize),
    Local(usize),
    /// `.a.b` of something, by constant keys.
    Path(Boxed, Vec<Value>),
    Index(Boxed, Boxed),
    /// `.[key]?`
    IndexOptional(Boxed, Boxed),
    /// `.[]`; true: with a `?`.
    Each(Boxed, bool),
    Empty,
    Pipe(Boxed, Boxed),
    Comma(Vec<Node>),
    Operator(Operator, Boxed, Boxed),
    And(Boxed, Boxed),
    Or(Boxed, Boxed),
    Alternative(Boxed, Boxed),
    If(Boxed, Boxed, Boxed),
    Try(Boxed, Option<Boxed>),
    /// Members whose keys are known and differ.
    Record(Vec<(EcoString, Node)>),
    Object(Vec<(Node, Node)>),
    /// An array of elements that give one output each.
    List(Vec<Node>),
    Collect(Boxed),
    Text(Vec<Part>),
    Native(&'static Native, Vec<Node>),
    Bind(usize, Boxed, Boxed),
    /// Variable, source, beginning, update.
    Reduce(usize, Boxed, Boxed, Boxed),
    First(Boxed),
    IsEmpty(Boxed),
    Range(Boxed, Boxed),
    /// `path = value`
    Set(Value, Boxed),
    /// `path |= change`
    Update(Value, Boxed),
    /// `path op= value`
    Modify(Operator, Value, Boxed),
    /// `del(paths)`
    Delete(Vec<Value>),
}

#[derive(Debug)]
enum Part {
    Plain(EcoString),
    /// With the format of what is not text.
    Filter(Node, Option<EcoString>),
}
