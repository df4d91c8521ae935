//! Runtime expressions: the jq language, evaluated by ourselves.
//!
//! A program is parsed once and evaluated often. Nothing in it can reach the process, its environment or the clock: `now`
//! is the step's time. Budgets are counted inside and stop every program: steps, memory and depth.
//!
//! | file | holds |
//! | --- | --- |
//! | `lexer`, `parser`, `ast` | text to tokens to a syntax tree |
//! | `scope`, `compile`, `program` | names resolved, a tree to instructions |
//! | `machine` | runs a program by backtracking, all its state on the heap |
//! | `fast` | the short way for expressions with one output |
//! | `run`, `errors` | budgets, and why an evaluation stops |
//! | `arithmetic` | operators |
//! | `builtins`, `prelude` | functions in Rust and in jq |
//! | `regex` | regular expressions, with their own budget |
//! | `jaq` | jaq in place of all of it, for one benchmark |
//! | `template` | values with expressions inside |
//! | `check` | what must hold for any expression, for fuzzers and tests |

mod arithmetic;
mod ast;
mod builtins;
mod check;
mod compile;
mod errors;
mod fast;
#[cfg(feature = "jaq-alone")]
mod jaq;
mod lexer;
mod machine;
mod parser;
mod prelude;
mod program;
mod regex;
mod run;
mod scope;
mod template;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use ecow::EcoString;

use crate::time::Timestamp;
use crate::value::{Misfit, Value};
use ast::{Ast, Id, Tree};
use builtins::regex::Kept;
use errors::Stop;
use fast::{Fast, Walk};
use machine::Machine;
use program::Program;

#[doc(hidden)]
pub use check::{both_ways_agree, json_survives};
pub use fast::Reads;
pub use template::{Template, strip_wrapper};

/// Arrays and objects within each other in a result: what is kept must be read again, which has a limit too, and is handed to
/// code that needs the stack for it.
const RESULT_DEPTH_MAX: usize = 256;

/// A compiled expression. Cloning shares it.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    source: EcoString,
    program: Program,
    /// The short way, where it can go it.
    fast: Option<Fast>,
    /// The regular expressions that are written out in it.
    regexes: Option<Arc<Kept>>,
    several: bool,
    #[cfg(feature = "jaq-alone")]
    jaq: jaq::Jaq,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.0.source)
    }
}

/// What an evaluation may use up.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps: one for each instruction, and for what functions walk.
    pub steps_max: u64,
    /// Bytes of values built, together.
    pub memory_max: usize,
    /// Calls within each other, and outputs that are still to come.
    pub depth_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps_max: 500_000, memory_max: 16 << 20, depth_max: 10_000 }
    }
}

/// What an evaluation sees besides its input.
pub struct Context<'a> {
    /// What `now` answers.
    pub now: Timestamp,
    /// Its budgets.
    pub limits: &'a Limits,
    /// Gives the runtime argument with this index; asked only for what is used.
    pub variables: &'a dyn Fn(usize) -> Cow<'a, Value>,
    /// Where the steps of evaluations are added up, for who bounds several together.
    pub spent: Option<&'a Cell<u64>>,
}

/// How an expression is evaluated: both ways answer the same, as tests and fuzzers check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The short way where the expression can go it.
    Best,
    /// By the machine.
    Machine,
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
            (Some(value), None) => format!("(not a string): {value}"),
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
        let (tree, root) = parser::Parser::new(source)?.program()?;
        let program = compile::compile(&tree, root, variables)?;
        let fast = fast::build(&tree, root, variables);
        let several = may_give_several(&tree, root);
        Ok(Expression(Arc::new(Compiled {
            source: source.into(),
            program,
            fast,
            regexes: Kept::of(&tree),
            several,
            #[cfg(feature = "jaq-alone")]
            jaq: jaq::Jaq::compile(source, variables)?,
        })))
    }

    /// The first output on `input`; `null` when there is none.
    ///
    /// # Errors
    /// What the program threw, or the limit that it reached.
    pub fn evaluate<'c>(&self, input: &Value, cx: &'c Context<'c>) -> Result<Value, EvaluateError> {
        #[cfg(feature = "jaq-alone")]
        let output = self.0.jaq.first(input, cx);
        #[cfg(not(feature = "jaq-alone"))]
        let output = match &self.0.fast {
            Some(fast) => Walk::new(fast, cx, self.0.regexes.as_ref()).first(fast, input),
            None => Machine::new(&self.0.program, input.clone(), cx, self.0.regexes.as_ref()).next(),
        };
        let output = output.map_err(EvaluateError::of)?.unwrap_or_default();
        if output.is_container() {
            fits(&output, cx.limits)?;
        }
        Ok(output)
    }

    /// The first `max` outputs on `input`.
    ///
    /// # Errors
    /// What the program threw, or the limit that it reached.
    pub fn evaluate_all<'c>(
        &self,
        input: &Value,
        cx: &'c Context<'c>,
        max: usize,
    ) -> Result<Vec<Value>, EvaluateError> {
        let (outputs, error) = self.outputs(Way::Best, input, cx, max);
        outputs.iter().try_for_each(|output| fits(output, cx.limits))?;
        error.map_or(Ok(outputs), Err)
    }

    /// The first `max` outputs on `input`, and the error that came before there were so many.
    pub fn outputs<'c>(
        &self,
        way: Way,
        input: &Value,
        cx: &'c Context<'c>,
        max: usize,
    ) -> (Vec<Value>, Option<EvaluateError>) {
        let mut outputs = Vec::new();
        let done = match &self.0.fast {
            Some(fast) if way == Way::Best && max > 0 => {
                Walk::new(fast, cx, self.0.regexes.as_ref()).all(fast, input, &mut |output| {
                    outputs.push(output);
                    if outputs.len() < max { Ok(()) } else { Err(Stop::Enough) }
                })
            }
            _ => self.by_machine(input, cx, max, &mut outputs),
        };
        (outputs, done.err().map(EvaluateError::of))
    }

    fn by_machine<'c>(
        &self,
        input: &Value,
        cx: &'c Context<'c>,
        max: usize,
        outputs: &mut Vec<Value>,
    ) -> Result<(), Stop> {
        let mut machine = Machine::new(&self.0.program, input.clone(), cx, self.0.regexes.as_ref());
        while outputs.len() < max
            && let Some(output) = machine.next()?
        {
            outputs.push(output);
        }
        Ok(())
    }

    /// Whether it goes the short way.
    #[must_use]
    pub fn is_fast(&self) -> bool {
        self.0.fast.is_some()
    }

    /// Which members of its input it looks at, as far as that is plain to see.
    #[must_use]
    pub fn reads(&self) -> Reads {
        self.0.fast.as_ref().map_or(Reads::All, Fast::reads)
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
        self.0.several
    }
}

/// Whether a result can be kept: parts that it shares are written out each time they occur.
fn fits(output: &Value, limits: &Limits) -> Result<(), EvaluateError> {
    output.fits(&mut { limits.memory_max }, RESULT_DEPTH_MAX).map_err(|misfit| {
        EvaluateError::of(Stop::Limit(match misfit {
            Misfit::TooLarge => "memory",
            Misfit::TooDeep => "depth",
        }))
    })
}

fn may_give_several(tree: &Tree, root: Id) -> bool {
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        match tree.get(id) {
            Ast::Comma(_) | Ast::Iterate(..) => return true,
            Ast::Call(name, arguments, _) if name == "recurse" && arguments.is_empty() => return true,
            Ast::Pipe(stages) => open.extend(stages),
            Ast::Index(a, ..) | Ast::Try(a, _) | Ast::Bind(_, _, a) | Ast::Define(_, a) => open.push(*a),
            Ast::If(_, a, b) => open.extend([Some(*a), *b].into_iter().flatten()),
            _ => {}
        }
    }
    false
}
