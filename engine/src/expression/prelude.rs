//! The functions of jq that are written in jq.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::ast::{Function, Tree};
use super::parser::Parser;

const SOURCE: &str = include_str!("prelude.jq");

struct Prelude {
    tree: Tree,
    functions: HashMap<(String, usize), Function>,
}

static PRELUDE: LazyLock<Prelude> = LazyLock::new(|| {
    // The text is part of the program and is parsed by a test.
    let (tree, functions) = Parser::new(SOURCE).and_then(Parser::definitions).unwrap_or_default();
    let key = |function: &Function| (function.name.to_string(), function.parameters.len());
    Prelude { tree, functions: functions.into_iter().map(|function| (key(&function), function)).collect() }
});

/// The function of that name and number of parameters, and the tree that its body is in.
pub(super) fn function(name: &str, arity: usize) -> Option<(&'static Tree, &'static Function)> {
    let prelude = &*PRELUDE;
    Some((&prelude.tree, prelude.functions.get(&(name.to_owned(), arity))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::Expression;

    #[test]
    fn every_definition_parses_and_compiles() {
        let (_, functions) = Parser::new(SOURCE).and_then(Parser::definitions).expect("the prelude parses");
        assert_eq!(functions.len(), SOURCE.lines().filter(|line| line.starts_with("def ")).count());
        for function in functions {
            let arguments = vec!["."; function.parameters.len()].join("; ");
            let call = if arguments.is_empty() {
                function.name.to_string()
            } else {
                format!("{}({arguments})", function.name)
            };
            Expression::compile(&call, &[]).unwrap_or_else(|error| panic!("{call}: {error}"));
        }
    }
}
