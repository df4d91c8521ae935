//! Regular expressions as jq has them: Oniguruma's dialect of Perl's, with look-around and backreferences, tried by
//! backtracking whose every try is counted.

mod behind;
mod class;
mod matcher;
mod parse;
mod program;
mod recursion;

pub(super) use matcher::Found;

use super::errors::Stop;
use super::run::Run;

/// What flags ask of a whole expression.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Options {
    pub ignore_case: bool,
    pub extended: bool,
    /// `.` is also the end of a line.
    pub dot_all: bool,
    /// `^` and `$` are also at the ends of lines within the text.
    pub lines: bool,
    /// Empty matches are passed over.
    pub not_empty: bool,
}

/// A compiled regular expression.
#[derive(Debug)]
pub(super) struct Regex {
    program: program::Program,
    /// Names of the groups, in order; the first group has number 1.
    pub names: Vec<Option<ecow::EcoString>>,
    options: Options,
}

impl Regex {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// In Oniguruma's words, why it is none.
    pub fn new(pattern: &str, options: Options) -> Result<Regex, String> {
        let parsed = parse::parse(pattern, options)?;
        let program = program::compile(&parsed)?;
        Ok(Regex { program, names: parsed.names, options })
    }

    /// The first match at or behind a place.
    pub fn find(&self, run: &mut Run<'_>, text: &str, from: usize) -> Result<Option<Found>, Stop> {
        matcher::search(&self.program, run, text, from, self.options.not_empty)
    }
}
