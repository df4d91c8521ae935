//! What names mean at a place of a program.

use std::cell::Cell;
use std::rc::Rc;

use ecow::EcoString;

use super::ast::{Function, Id, Tree};

/// A filter of a program, and what its names mean.
#[derive(Clone)]
pub(super) struct Filter<'t> {
    pub tree: &'t Tree,
    pub id: Id,
    pub scope: Scope<'t>,
}

/// A list of bindings from the innermost outwards.
#[derive(Clone, Default)]
pub(super) struct Scope<'t>(Option<Rc<Bound<'t>>>);

struct Bound<'t> {
    binding: Binding<'t>,
    outer: Scope<'t>,
}

#[derive(Clone)]
pub(super) enum Binding<'t> {
    /// A variable, or a label (`*name`): the depth of the function whose frame holds it, and its place there.
    Variable {
        name: EcoString,
        depth: u16,
        index: u16,
    },
    Function(Rc<Definition<'t>>),
    /// A filter that its function was called with.
    Parameter {
        name: EcoString,
        depth: u16,
        index: u16,
    },
    /// A parameter of a function that is compiled where it is called.
    Inline {
        name: EcoString,
        filter: Filter<'t>,
    },
}

/// A `def`.
pub(super) struct Definition<'t> {
    pub tree: &'t Tree,
    pub function: &'t Function,
    /// Without the function itself.
    pub scope: Scope<'t>,
    /// The depth of the function around it; `None` for those of the language.
    pub depth: Option<u16>,
    /// Whether it calls itself.
    pub recursive: bool,
    /// Its number, when it was compiled as a function.
    pub compiled: Cell<Option<u32>>,
}

impl<'t> Definition<'t> {
    pub fn new(tree: &'t Tree, function: &'t Function, scope: Scope<'t>, depth: Option<u16>) -> Rc<Definition<'t>> {
        let recursive = tree.calls(function.body, &function.name, function.parameters.len()) > 0;
        Rc::new(Definition { tree, function, scope, depth, recursive, compiled: Cell::new(None) })
    }

    /// Whether it may be compiled where it is called: a filter it is called with must not be compiled over and over.
    pub fn is_inline(&self, arguments: &[Filter<'t>]) -> bool {
        let frugal = |(parameter, argument): (&EcoString, &Filter<'t>)| {
            let (name, bound) = match parameter.strip_prefix('$') {
                Some(name) => (name, 1),
                None => (parameter.as_str(), 0),
            };
            argument.tree.depth(argument.id) <= 2 || bound + self.tree.calls(self.function.body, name, 0) <= 1
        };
        !self.recursive && self.function.parameters.iter().zip(arguments).all(frugal)
    }
}

impl<'t> Scope<'t> {
    #[must_use]
    pub fn with(&self, binding: Binding<'t>) -> Scope<'t> {
        Scope(Some(Rc::new(Bound { binding, outer: self.clone() })))
    }

    fn find(&self, mut is: impl FnMut(&Binding<'t>) -> bool) -> Option<&Binding<'t>> {
        let mut at = self;
        while let Some(bound) = &at.0 {
            if is(&bound.binding) {
                return Some(&bound.binding);
            }
            at = &bound.outer;
        }
        None
    }

    /// Depth and place of a variable.
    pub fn variable(&self, wanted: &str) -> Option<(u16, u16)> {
        let found = self.find(|binding| matches!(binding, Binding::Variable { name, .. } if name == wanted))?;
        match found {
            Binding::Variable { depth, index, .. } => Some((*depth, *index)),
            _ => None,
        }
    }

    /// What a call means.
    pub fn function(&self, wanted: &str, arity: usize) -> Option<Binding<'t>> {
        let found = self.find(|binding| match binding {
            Binding::Variable { .. } => false,
            Binding::Function(definition) => {
                definition.function.name == wanted && definition.function.parameters.len() == arity
            }
            Binding::Parameter { name, .. } | Binding::Inline { name, .. } => arity == 0 && name == wanted,
        });
        found.cloned()
    }

    /// All variables, for an error.
    pub fn variables(&self) -> Vec<EcoString> {
        let mut names = Vec::new();
        let mut at = self;
        while let Some(bound) = &at.0 {
            match &bound.binding {
                Binding::Variable { name, .. } if !name.starts_with('*') => names.push(name.clone()),
                _ => {}
            }
            at = &bound.outer;
        }
        names
    }
}
