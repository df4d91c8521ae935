//! The functions of jq that are written in jq.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::ast::Function;
use super::{builtins, parser::Parser};

const SOURCE: &str = include_str!("prelude.jq");

static FUNCTIONS: LazyLock<HashMap<(String, usize), Function>> = LazyLock::new(|| {
    let known = |signature: &str| builtins::is_native(signature) || is_named(signature);
    let parsed = Parser::new(SOURCE, &[], &known).and_then(Parser::definitions);
    // The text is part of the program and is parsed by a test.
    let functions = parsed.unwrap_or_default();
    functions.into_iter().map(|function| ((function.name.to_string(), function.parameters.len()), function)).collect()
});

/// Whether the text has a definition of that `name/arity`, without parsing it.
fn is_named(signature: &str) -> bool {
    let Some((name, arity)) = signature.rsplit_once('/') else { return false };
    let head = if arity == "0" { format!("def {name}:") } else { format!("def {name}(") };
    SOURCE.lines().filter(|line| line.starts_with(&head)).any(|line| {
        let parameters = line.strip_prefix(&head).and_then(|rest| rest.split_once(')')).map(|(inside, _)| inside);
        let count = if arity == "0" { 0 } else { parameters.map_or(0, |inside| inside.split(';').count()) };
        count.to_string() == arity
    })
}

/// The function of that name and number of parameters.
pub(super) fn function(name: &str, arity: usize) -> Option<&'static Function> {
    FUNCTIONS.get(&(name.to_owned(), arity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_parses() {
        let known = |signature: &str| builtins::is_native(signature) || is_named(signature);
        let parsed = Parser::new(SOURCE, &[], &known).and_then(Parser::definitions).expect("the prelude parses");
        assert_eq!(parsed.len(), SOURCE.lines().filter(|line| line.starts_with("def ")).count());
    }
}
