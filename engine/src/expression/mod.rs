//! Runtime expressions: the jq language, evaluated by ourselves.
//!
//! A program is parsed once and evaluated often. Nothing in it can reach the process, its environment or the clock: `now`
//! is the step's time. Budgets are counted inside and stop every program: steps, memory and depth.
//!
//! | file | holds |
//! | --- | --- |
//! | `lexer`, `parser`, `ast` | text to tokens to a syntax tree, names resolved |
//! | `evaluate` | the evaluator: outputs are handed on one by one, with paths where they are asked for |
//! | `direct` | the short way for filters with one output |
//! | `paths` | reading and writing by path, assignment |
//! | `arithmetic` | operators |
//! | `builtins`, `prelude` | functions in Rust and in jq |
//! | `text`, `regex`, `dates` | functions on text |
//! | `template` | values with expressions inside |

mod arithmetic;
mod ast;
mod builtins;
mod dates;
mod direct;
mod evaluate;
mod lexer;
mod parser;
mod paths;
mod prelude;
mod regex;
mod template;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use ecow::EcoString;

use crate::time::Timestamp;
use crate::value::Value;
use ast::Ast;
use evaluate::{Machine, Stop};

pub use template::{Template, strip_wrapper};

/// A compiled expression. Cloning shares it.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: EcoString,
    ast: Ast,
    /// Whether it can go the short way.
    direct: bool,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.0.source)
    }
}

/// What an evaluation may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps: one for each filter and each output.
    pub steps_max: u64,
    /// Bytes of values built, together.
    pub memory_max: usize,
    /// Filters and functions within each other.
    pub depth_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps_max: 1_000_000, memory_max: 64 << 20, depth_max: 2_000 }
    }
}

/// What an evaluation sees besides its input.
pub struct Context<'a> {
    /// What `now` answers.
    pub now: Timestamp,
    /// Its budgets.
    pub limits: &'a Limits,
    /// Gives the runtime argument with this index; asked only for what is used.
    pub variables: &'a dyn Fn(usize) -> Value,
}

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong, and what would be right.
    pub message: String,
    /// Where, in bytes from the start of the source.
    pub offset: usize,
    /// How many bytes.
    pub len: usize,
}

/// Why an evaluation failed.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluateError {
    thrown: Option<Value>,
    limit: Option<&'static str>,
}

impl EvaluateError {
    fn of(stop: Stop) -> EvaluateError {
        match stop {
            Stop::Error(value) => EvaluateError { thrown: Some(value), limit: None },
            Stop::Break(_) | Stop::Enough => EvaluateError { thrown: None, limit: None },
            Stop::Limit(limit) => EvaluateError { thrown: None, limit: Some(limit) },
        }
    }

    /// jq's text, or the name of the limit that was reached.
    #[must_use]
    pub fn message(&self) -> String {
        match (&self.thrown, self.limit) {
            (_, Some(limit)) => format!("the expression reached its limit of {limit}"),
            (Some(Value::String(text)), None) => text.to_string(),
            (Some(value), None) => format!("{value} (not a string)"),
            (None, None) => "break".to_owned(),
        }
    }

    /// Whether a limit stopped it.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.limit.is_some()
    }
}

impl Expression {
    /// Compiles `source`. `variables` are the names (without `$`) of the runtime arguments that it may use.
    ///
    /// # Errors
    /// With the place and what is wrong there.
    pub fn compile(source: &str, variables: &[EcoString]) -> Result<Expression, SyntaxError> {
        let known = |signature: &str| builtins::is_known(signature);
        let ast = parser::Parser::new(source, variables, &known)?.program()?;
        let direct = direct::is_direct(&ast);
        Ok(Expression(Arc::new(Compiled { source: source.into(), ast, direct })))
    }

    /// The first output on `input`; `null` when there is none.
    ///
    /// # Errors
    /// What the program threw, or the limit that it reached.
    pub fn evaluate(&self, input: &Value, cx: &Context<'_>) -> Result<Value, EvaluateError> {
        if self.0.direct {
            return self.direct(input, cx);
        }
        let outputs = self.evaluate_all(input, cx, 1)?;
        Ok(outputs.into_iter().next().unwrap_or_default())
    }

    fn direct(&self, input: &Value, cx: &Context<'_>) -> Result<Value, EvaluateError> {
        let output = Machine::new(cx).direct(&self.0.ast, input);
        output.map(std::borrow::Cow::into_owned).map_err(EvaluateError::of)
    }

    /// The first `max` outputs on `input`.
    ///
    /// # Errors
    /// What the program threw, or the limit that it reached.
    pub fn evaluate_all(&self, input: &Value, cx: &Context<'_>, max: usize) -> Result<Vec<Value>, EvaluateError> {
        if self.0.direct && max > 0 {
            return Ok(vec![self.direct(input, cx)?]);
        }
        let mut outputs = Vec::new();
        let stop = Machine::new(cx).run(&self.0.ast, input, &mut |value| {
            outputs.push(value);
            if outputs.len() < max { Ok(()) } else { Err(Stop::Enough) }
        });
        match stop {
            Ok(()) | Err(Stop::Enough) => Ok(outputs),
            Err(stop) => Err(EvaluateError::of(stop)),
        }
    }

    /// Its source text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether its result depends on its input and nothing else: neither on runtime arguments nor on the time. Where that
    /// is not plain to see, the answer is no.
    #[must_use]
    pub fn is_of_input_alone(&self) -> bool {
        let mut words = self.0.source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        !self.0.source.contains('$')
            && !words.any(|word| matches!(word, "now" | "localtime" | "mktime" | "strflocaltime"))
    }

    /// Whether its form lets expect several outputs: worth a warning, for the first alone counts.
    #[must_use]
    pub fn may_give_several(&self) -> bool {
        fn several(ast: &Ast) -> bool {
            match ast {
                Ast::Comma(..) | Ast::Iterate(_) | Ast::RecurseAll => true,
                Ast::Pipe(a, b) => several(a) || several(b),
                Ast::Index(a, _) | Ast::Try(a, _) => several(a),
                Ast::If(_, a, b) => several(a) || b.as_deref().is_some_and(several),
                Ast::Bind(_, _, body) | Ast::Define(_, body) => several(body),
                _ => false,
            }
        }
        several(&self.0.ast)
    }
}
