//! Which expressions go the short way, and their trees.

use std::rc::Rc;

use ecow::EcoString;

use super::{Count, Fast, Kind, Node, Part};
use crate::expression::ast::{self, Assignment, Ast, Id, Pattern, Tree};
use crate::expression::builtins;
use crate::expression::compile::fold;
use crate::expression::prelude;
use crate::expression::scope::{Binding, Definition, Filter, Scope};
use crate::value::Value;

/// Nodes within each other: the machine takes what is deeper.
const DEPTH_MAX: usize = 64;

/// Nodes of one tree.
const NODES_MAX: usize = 2_000;

/// The tree of an expression that compiles; `None` when it is for the machine.
pub fn build(tree: &Tree, root: Id, arguments: &[EcoString]) -> Option<Fast> {
    let mut builder = Builder { arguments, locals: 0, depth: 0, nodes: 0 };
    let node = builder.node(&Filter { tree, id: root, scope: Scope::default() })?;
    Some(Fast { node, locals: builder.locals })
}

struct Builder<'t> {
    arguments: &'t [EcoString],
    locals: usize,
    depth: usize,
    nodes: usize,
}

fn one(kind: Kind) -> Option<Node> {
    Some(Node { kind, count: Count::One })
}

fn counted(kind: Kind, count: Count) -> Option<Node> {
    Some(Node { kind, count })
}

impl Node {
    /// The node, if it gives one output.
    fn single(self) -> Option<Box<Node>> {
        (self.count == Count::One).then(|| Box::new(self))
    }
}

impl<'t> Builder<'t> {
    fn node(&mut self, filter: &Filter<'t>) -> Option<Node> {
        self.nodes += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return None;
        }
        let node = self.inside(filter);
        self.depth -= 1;
        node
    }

    fn single(&mut self, filter: &Filter<'t>) -> Option<Box<Node>> {
        self.node(filter)?.single()
    }

    fn inside(&mut self, filter: &Filter<'t>) -> Option<Node> {
        let at = |id: Id| Filter { id, ..filter.clone() };
        if let Some(value) = fold(filter.tree, filter.id) {
            return one(Kind::Constant(value));
        }
        match filter.tree.get(filter.id) {
            Ast::Identity => one(Kind::Input),
            Ast::Literal(value) => one(Kind::Constant(value.clone())),
            Ast::Text(format, parts) => self.text(filter, format, parts),
            Ast::Format(format) => self.format(format),
            Ast::Index(term, key, optional) => self.index(&at(*term), &at(*key), *optional),
            Ast::Slice(..) => self.slice(filter),
            Ast::Iterate(term, optional) => {
                let term = Box::new(self.node(&at(*term))?);
                counted(Kind::Each(term, *optional), Count::Any)
            }
            Ast::Try(body, handler) => {
                let body = self.single(&at(*body))?;
                match handler {
                    Some(handler) => {
                        let handler = self.node(&at(*handler))?;
                        let count = handler.count;
                        counted(Kind::Try(body, Some(Box::new(handler))), count)
                    }
                    None => counted(Kind::Try(body, None), Count::Maybe),
                }
            }
            Ast::Negate(operand) => {
                let operand = self.node(&at(*operand))?;
                let negate = Kind::Native(builtins::native("_negate", 0)?, Vec::new());
                piped(operand, one(negate)?)
            }
            Ast::Pipe(stages) => {
                let mut nodes = stages.iter().map(|stage| self.node(&at(*stage)));
                let first = nodes.next()??;
                nodes.try_fold(first, |before, stage| piped(before, stage?))
            }
            Ast::Comma(outputs) => {
                let outputs = outputs.iter().map(|output| self.node(&at(*output))).collect::<Option<Vec<_>>>()?;
                counted(Kind::Comma(outputs), Count::Any)
            }
            Ast::Binary(operator, a, b) => {
                let (a, b) = (self.single(&at(*a))?, self.single(&at(*b))?);
                one(Kind::Operator(*operator, a, b))
            }
            Ast::And(a, b) => one(Kind::And(self.single(&at(*a))?, self.single(&at(*b))?)),
            Ast::Or(a, b) => one(Kind::Or(self.single(&at(*a))?, self.single(&at(*b))?)),
            Ast::Alternative(a, b) => {
                let (a, b) = (self.node(&at(*a))?, self.node(&at(*b))?);
                let count = if a.count == Count::Any { Count::Any } else { b.count };
                counted(Kind::Alternative(Box::new(a), Box::new(b)), count)
            }
            Ast::If(condition, then, otherwise) => {
                let condition = self.single(&at(*condition))?;
                let then = self.node(&at(*then))?;
                let otherwise = match otherwise {
                    Some(otherwise) => self.node(&at(*otherwise))?,
                    None => one(Kind::Input)?,
                };
                let count = match (then.count, otherwise.count) {
                    (a, b) if a == b => a,
                    (Count::Any, _) | (_, Count::Any) => Count::Any,
                    _ => Count::Maybe,
                };
                counted(Kind::If(condition, Box::new(then), Box::new(otherwise)), count)
            }
            Ast::Object(members) => self.object(filter, members),
            Ast::Array(None) => one(Kind::List(Vec::new())),
            Ast::Array(Some(items)) => match self.node(&at(*items))? {
                Node { count: Count::One, kind } => one(Kind::List(vec![Node { kind, count: Count::One }])),
                Node { kind: Kind::Comma(items), .. } if items.iter().all(|item| item.count == Count::One) => {
                    one(Kind::List(items))
                }
                items => one(Kind::Collect(Box::new(items))),
            },
            Ast::Variable(name, _) => match filter.scope.variable(name) {
                Some((_, index)) => one(Kind::Local(usize::from(index))),
                None => one(Kind::Argument(self.arguments.iter().position(|own| own == name)?)),
            },
            Ast::Bind(source, patterns, body) => {
                let source = self.node(&at(*source))?;
                let (slot, scope) = self.variable(&filter.scope, patterns)?;
                let body = self.node(&Filter { id: *body, scope, ..filter.clone() })?;
                let count = source.count.max(body.count);
                counted(Kind::Bind(slot, Box::new(source), Box::new(body)), count)
            }
            Ast::Reduce(source, patterns, init, update) => {
                let source = Box::new(self.node(&at(*source))?);
                let init = self.single(&at(*init))?;
                let (slot, scope) = self.variable(&filter.scope, patterns)?;
                let update = self.single(&Filter { id: *update, scope, ..filter.clone() })?;
                one(Kind::Reduce(slot, source, init, update))
            }
            Ast::Define(function, rest) => {
                let definition = Definition::new(filter.tree, function, filter.scope.clone(), None);
                let scope = filter.scope.with(Binding::Function(definition));
                self.node(&Filter { id: *rest, scope, ..filter.clone() })
            }
            Ast::Call(name, arguments, _) => {
                let arguments: Vec<_> = arguments.iter().map(|argument| at(*argument)).collect();
                self.call(&filter.scope, name, &arguments)
            }
            Ast::Assign(assignment, target, value) => self.assign(*assignment, &at(*target), &at(*value)),
            Ast::Foreach(..) | Ast::Label(..) | Ast::Break(..) => None,
        }
    }

    fn variable(&mut self, scope: &Scope<'t>, patterns: &[Pattern]) -> Option<(usize, Scope<'t>)> {
        let [Pattern::Variable(name)] = patterns else { return None };
        let slot = self.locals;
        self.locals += 1;
        let index = u16::try_from(slot).ok()?;
        Some((slot, scope.with(Binding::Variable { name: name.clone(), depth: 0, index })))
    }

    fn format(&mut self, format: &EcoString) -> Option<Node> {
        if format == "text" {
            return one(Kind::Native(builtins::native("tostring", 0)?, Vec::new()));
        }
        let name = one(Kind::Constant(Value::String(format.clone())))?;
        one(Kind::Native(builtins::native("format", 1)?, vec![name]))
    }

    fn text(&mut self, filter: &Filter<'t>, format: &EcoString, parts: &[ast::Part]) -> Option<Node> {
        let format = (format != "text").then(|| format.clone());
        let parts = parts.iter().map(|part| match part {
            ast::Part::Plain(text) => Some(Part::Plain(text.clone())),
            ast::Part::Filter(id) => {
                let inner = self.single(&Filter { id: *id, ..filter.clone() })?;
                Some(Part::Filter(*inner, format.clone()))
            }
        });
        one(Kind::Text(parts.collect::<Option<_>>()?))
    }

    fn index(&mut self, term: &Filter<'t>, key: &Filter<'t>, optional: bool) -> Option<Node> {
        let term = self.node(term)?;
        let key = self.single(key)?;
        if optional {
            let count = if term.count == Count::Any { Count::Any } else { Count::Maybe };
            return counted(Kind::IndexOptional(Box::new(term), key), count);
        }
        stepped(term, *key)
    }

    fn slice(&mut self, filter: &Filter<'t>) -> Option<Node> {
        let Ast::Slice(term, from, to, optional) = filter.tree.get(filter.id) else { return None };
        let at = |id: Id| Filter { id, ..filter.clone() };
        let term = self.node(&at(*term))?;
        let mut bound = |bound: &Option<Id>| match bound {
            Some(bound) => self.single(&at(*bound)).map(|node| *node),
            None => one(Kind::Constant(Value::Null)),
        };
        let members = vec![("start".into(), bound(from)?), ("end".into(), bound(to)?)];
        let range = |node: &Node| match &node.kind {
            Kind::Constant(value) => Some(value.clone()),
            _ => None,
        };
        let known = members.iter().map(|(name, node): &(EcoString, Node)| Some((name.clone(), range(node)?)));
        let key = match known.collect::<Option<crate::value::Map>>() {
            Some(range) => one(Kind::Constant(Value::Object(range)))?,
            None => one(Kind::Record(members))?,
        };
        if *optional {
            let count = if term.count == Count::Any { Count::Any } else { Count::Maybe };
            return counted(Kind::IndexOptional(Box::new(term), Box::new(key)), count);
        }
        stepped(term, key)
    }

    fn object(&mut self, filter: &Filter<'t>, members: &[(Id, Option<Id>)]) -> Option<Node> {
        let at = |id: Id| Filter { id, ..filter.clone() };
        let mut nodes = Vec::new();
        for (key, value) in members {
            let key = self.single(&at(*key))?;
            nodes.push((*key, *self.single(&at((*value)?))?));
        }
        let name = |node: &Node| match &node.kind {
            Kind::Constant(Value::String(name)) => Some(name.clone()),
            _ => None,
        };
        let names = nodes.iter().map(|(key, _)| name(key)).collect::<Option<Vec<_>>>();
        match names.filter(|names| (1..names.len()).all(|at| !names[..at].contains(&names[at]))) {
            Some(names) => {
                one(Kind::Record(names.into_iter().zip(nodes.into_iter().map(|(_, value)| value)).collect()))
            }
            None => one(Kind::Object(nodes)),
        }
    }

    fn call(&mut self, scope: &Scope<'t>, name: &EcoString, arguments: &[Filter<'t>]) -> Option<Node> {
        match scope.function(name, arguments.len()) {
            Some(Binding::Function(definition)) => self.inline(&definition, arguments),
            Some(Binding::Inline { filter, .. }) => self.node(&filter),
            Some(_) => None,
            None => self.builtin(name, arguments),
        }
    }

    fn builtin(&mut self, name: &str, arguments: &[Filter<'t>]) -> Option<Node> {
        match (name, arguments) {
            ("empty", []) => counted(Kind::Empty, Count::Maybe),
            ("first", [outputs]) => {
                let outputs = Box::new(self.node(outputs)?);
                counted(Kind::First(outputs), Count::Maybe)
            }
            ("isempty", [outputs]) => one(Kind::IsEmpty(Box::new(self.node(outputs)?))),
            ("range", [from, to]) => {
                let (from, to) = (self.single(from)?, self.single(to)?);
                counted(Kind::Range(from, to), Count::Any)
            }
            ("del", [paths]) => {
                let targets = match paths.tree.get(paths.id) {
                    Ast::Comma(list) => list.iter().map(|id| Filter { id: *id, ..paths.clone() }).collect(),
                    _ => vec![paths.clone()],
                };
                let paths = targets.iter().map(|target| static_path(target)).collect::<Option<Vec<_>>>()?;
                one(Kind::Delete(paths))
            }
            ("path" | "getpath" | "last", [_]) => None,
            _ => match builtins::native(name, arguments.len()) {
                Some(native) => {
                    let arguments = arguments.iter().map(|argument| self.single(argument).map(|node| *node));
                    one(Kind::Native(native, arguments.collect::<Option<_>>()?))
                }
                None => {
                    let (tree, function) = prelude::function(name, arguments.len())?;
                    self.inline(&Definition::new(tree, function, Scope::default(), None), arguments)
                }
            },
        }
    }

    fn inline(&mut self, definition: &Rc<Definition<'t>>, arguments: &[Filter<'t>]) -> Option<Node> {
        if !definition.is_inline(arguments) {
            return None;
        }
        let mut scope = definition.scope.clone();
        let mut bound = Vec::new();
        for (parameter, argument) in definition.function.parameters.iter().zip(arguments) {
            let name: EcoString = parameter.strip_prefix('$').unwrap_or(parameter).into();
            scope = scope.with(Binding::Inline { name: name.clone(), filter: argument.clone() });
            if parameter.starts_with('$') {
                let source = self.node(argument)?;
                let slot;
                (slot, scope) = self.variable(&scope, &[Pattern::Variable(name)])?;
                bound.push((slot, source));
            }
        }
        let body = self.node(&Filter { tree: definition.tree, id: definition.function.body, scope })?;
        bound.into_iter().rev().try_fold(body, |body, (slot, source)| {
            let count = source.count.max(body.count);
            counted(Kind::Bind(slot, Box::new(source), Box::new(body)), count)
        })
    }

    fn assign(&mut self, assignment: Assignment, target: &Filter<'t>, value: &Filter<'t>) -> Option<Node> {
        let path = static_path(target)?;
        let value = self.node(value)?;
        match assignment {
            Assignment::Set => one(Kind::Set(path, value.single()?)),
            Assignment::Update => one(Kind::Update(path, Box::new(value))),
            Assignment::Modify(operator) => one(Kind::Modify(operator, path, value.single()?)),
            Assignment::Default => None,
        }
    }
}

/// `b` on what `a` gives.
fn piped(a: Node, b: Node) -> Option<Node> {
    let count = a.count.max(b.count);
    counted(Kind::Pipe(Box::new(a), Box::new(b)), count)
}

/// What lies under a key.
fn stepped(term: Node, key: Node) -> Option<Node> {
    let count = term.count;
    match (term.kind, key.kind) {
        (Kind::Path(base, mut keys), Kind::Constant(key)) => {
            keys.push(key);
            counted(Kind::Path(base, keys), count)
        }
        (kind, Kind::Constant(key)) => counted(Kind::Path(Box::new(Node { kind, count }), vec![key]), count),
        (kind, key) => {
            let key = Box::new(Node { kind: key, count: Count::One });
            counted(Kind::Index(Box::new(Node { kind, count }), key), count)
        }
    }
}

/// The keys of a path that is written out.
fn static_path(filter: &Filter<'_>) -> Option<Value> {
    let mut keys = Vec::new();
    let mut at = filter.id;
    while let Ast::Index(term, key, false) = filter.tree.get(at) {
        keys.push(fold(filter.tree, *key)?);
        at = *term;
    }
    keys.reverse();
    matches!(filter.tree.get(at), Ast::Identity).then(|| keys.into_iter().collect())
}
