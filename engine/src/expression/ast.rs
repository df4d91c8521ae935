//! The syntax tree of an expression.

use ecow::EcoString;

use crate::value::Value;

/// A filter.
#[derive(Debug, Clone)]
pub(super) enum Ast {
    Identity,
    RecurseAll,
    Literal(Value),
    /// Text with interpolations, each formatted.
    Text(Format, Vec<Part>),
    /// `@name` without text.
    Format(Format),
    Index(Box<Ast>, Box<Ast>),
    Slice(Box<Ast>, Option<Box<Ast>>, Option<Box<Ast>>),
    Iterate(Box<Ast>),
    Try(Box<Ast>, Option<Box<Ast>>),
    Negate(Box<Ast>),
    Pipe(Box<Ast>, Box<Ast>),
    Comma(Box<Ast>, Box<Ast>),
    Binary(Operator, Box<Ast>, Box<Ast>),
    And(Box<Ast>, Box<Ast>),
    Or(Box<Ast>, Box<Ast>),
    Alternative(Box<Ast>, Box<Ast>),
    If(Box<Ast>, Box<Ast>, Option<Box<Ast>>),
    Reduce(Box<Ast>, Pattern, Box<Ast>, Box<Ast>),
    Foreach(Box<Ast>, Pattern, Box<Ast>, Box<Ast>, Option<Box<Ast>>),
    Object(Vec<(Ast, Ast)>),
    Array(Option<Box<Ast>>),
    /// A variable of the expression itself.
    Local(EcoString),
    /// A runtime argument, by its index.
    Argument(usize),
    Bind(Box<Ast>, Vec<Pattern>, Box<Ast>),
    Define(Box<Function>, Box<Ast>),
    Call(EcoString, Vec<Ast>),
    /// `=`
    Assign(Box<Ast>, Box<Ast>),
    /// `|=`
    Update(Box<Ast>, Box<Ast>),
    /// `+=` and its like; `None` is `//=`.
    Modify(Option<Operator>, Box<Ast>, Box<Ast>),
    Label(EcoString, Box<Ast>),
    Break(EcoString),
}

/// A part of a text.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Plain(EcoString),
    Filter(Ast),
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Csv,
    Tsv,
    Html,
    Uri,
    Urid,
    Sh,
    Base64,
    Base64d,
}

/// A binary operator.
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

/// A destructuring pattern.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    Variable(EcoString),
    Array(Vec<Pattern>),
    /// Key, the variable that the key itself names, and the pattern of its value.
    Object(Vec<(Ast, Option<EcoString>, Option<Pattern>)>),
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
}

/// A `def`.
#[derive(Debug, Clone)]
pub(super) struct Function {
    pub name: EcoString,
    /// Parameters; those that begin with `$` are values.
    pub parameters: Vec<EcoString>,
    pub body: Ast,
}
