//! A syntax tree to a program for the machine.
//!
//! Names are resolved here, once. Functions that don't call themselves are compiled where they are called, so that most
//! programs need no frames. The order in which operands are evaluated is jq's: it shows in the order of the outputs.

mod assign;
mod calls;
mod choices;
mod folds;

use std::collections::HashMap;
use std::rc::Rc;

use ecow::EcoString;

use super::SyntaxError;
use super::ast::{Ast, Id, Part, Place, Tree};
use super::program::{Closure, Function, Op, Program, Slot, Target};
use super::scope::{Binding, Definition, Filter, Scope};
use crate::value::{Array, Map, Value};

/// Instructions of one program.
const CODE_MAX: usize = 200_000;

/// From here on functions are called and no longer compiled where they are called.
const INLINE_MAX: usize = 10_000;

type Compiled<T = ()> = Result<T, SyntaxError>;

/// A function that is being compiled.
#[derive(Default)]
struct Body {
    code: Vec<Op>,
    locals: u16,
    depth: u16,
}

pub(super) struct Compiler<'t> {
    arguments: &'t [EcoString],
    program: Program,
    /// The code of each function of the program.
    bodies: Vec<Vec<Op>>,
    open: Vec<Body>,
    globals: HashMap<(&'static str, usize), Rc<Definition<'t>>>,
    total: usize,
    /// Functions compiled where they are called, within each other.
    inlined: usize,
}

/// Compiles a whole program. `arguments` are the names of the runtime arguments.
pub(super) fn compile(tree: &Tree, root: Id, arguments: &[EcoString]) -> Result<Program, SyntaxError> {
    let mut compiler = Compiler {
        arguments,
        program: Program::default(),
        bodies: vec![Vec::new()],
        open: Vec::new(),
        globals: HashMap::new(),
        total: 0,
        inlined: 0,
    };
    compiler.program.functions.push(Function::default());
    compiler.body(0, 0, |c| c.filter(&Filter { tree, id: root, scope: Scope::default() }))?;
    Ok(compiler.linked())
}

impl<'t> Compiler<'t> {
    /// Compiles the body of function `number`, within functions `depth` deep.
    fn body(&mut self, number: u32, depth: u16, compile: impl FnOnce(&mut Self) -> Compiled) -> Compiled {
        self.open.push(Body { depth, ..Body::default() });
        let compiled = compile(self);
        let body = self.open.pop().unwrap_or_default();
        compiled?;
        let mut code = body.code;
        code.push(Op::Return);
        tail_calls(&mut code, &self.program.closures);
        self.program.functions[number as usize].locals = body.locals;
        self.bodies[number as usize] = code;
        Ok(())
    }

    /// Puts the functions' code behind each other.
    fn linked(mut self) -> Program {
        for (function, body) in self.program.functions.iter_mut().zip(&self.bodies) {
            let base = self.program.code.len() as Target;
            function.entry = base;
            self.program.code.extend(body.iter().map(|op| moved(*op, base)));
        }
        self.program
    }

    fn current(&mut self) -> &mut Body {
        // A body is open whenever something is compiled.
        self.open.last_mut().expect("a function is being compiled")
    }

    fn emit(&mut self, op: Op) -> Compiled<usize> {
        self.total += 1;
        if self.total > CODE_MAX {
            return Err(error(Place::default(), "the expression is too large".into()));
        }
        let code = &mut self.current().code;
        code.push(op);
        Ok(code.len() - 1)
    }

    fn emit_all(&mut self, ops: &[Op]) -> Compiled {
        ops.iter().try_for_each(|op| self.emit(*op).map(drop))
    }

    /// Where the next instruction will stand.
    fn here(&mut self) -> Target {
        self.current().code.len() as Target
    }

    /// Emits a jump whose target is not known yet.
    fn jump(&mut self, op: fn(Target) -> Op) -> Compiled<usize> {
        self.emit(op(0))
    }

    /// Makes a jump lead here.
    fn land(&mut self, jump: usize) {
        let here = self.here();
        let op = &mut self.current().code[jump];
        *op = match *op {
            Op::Fork(_) => Op::Fork(here),
            Op::Try(_) => Op::Try(here),
            Op::Alternative(_) => Op::Alternative(here),
            Op::JumpUnless(_) => Op::JumpUnless(here),
            Op::Branch(_) => Op::Branch(here),
            _ => Op::Jump(here),
        };
    }

    fn local(&mut self) -> Slot {
        let body = self.current();
        body.locals += 1;
        Slot { level: 0, index: body.locals - 1 }
    }

    fn named(&mut self, scope: &Scope<'t>, name: &EcoString, slot: Slot) -> Scope<'t> {
        let depth = self.current().depth - slot.level;
        scope.with(Binding::Variable { name: name.clone(), depth, index: slot.index })
    }

    fn slot(&mut self, (depth, index): (u16, u16)) -> Slot {
        Slot { level: self.current().depth - depth, index }
    }

    fn constant(&mut self, value: Value) -> u32 {
        self.program.constants.push(value);
        self.program.constants.len() as u32 - 1
    }

    fn load_constant(&mut self, value: Value) -> Compiled {
        let constant = self.constant(value);
        self.emit(Op::Constant(constant)).map(drop)
    }

    /// `x -> x` with the variable set to a constant.
    fn set(&mut self, slot: Slot, value: Value) -> Compiled {
        let constant = self.constant(value);
        self.emit_all(&[Op::Under(constant), Op::StoreUnder(slot)])
    }

    /// `x -> value x`
    fn aside(&mut self, filter: &Filter<'t>) -> Compiled {
        match filter.tree.get(filter.id) {
            Ast::Identity => self.emit(Op::Dup).map(drop),
            _ => match self.folded(filter) {
                Some(value) => {
                    let constant = self.constant(value);
                    self.emit(Op::Under(constant)).map(drop)
                }
                None => {
                    self.emit(Op::Enter)?;
                    self.filter(filter)?;
                    self.emit(Op::Leave).map(drop)
                }
            },
        }
    }

    /// The value of a filter that is a constant.
    fn folded(&self, filter: &Filter<'t>) -> Option<Value> {
        fold(filter.tree, filter.id)
    }

    /// `x -> output`
    fn filter(&mut self, filter: &Filter<'t>) -> Compiled {
        let at = |id: Id| Filter { id, ..filter.clone() };
        if let Some(value) = self.folded(filter) {
            return self.load_constant(value);
        }
        match filter.tree.get(filter.id) {
            Ast::Identity => Ok(()),
            Ast::Literal(value) => self.load_constant(value.clone()),
            Ast::Text(format, parts) => self.text(filter, format, parts),
            Ast::Format(format) => self.format(format),
            Ast::Index(term, key, optional) => self.index(&at(*term), &at(*key), *optional),
            Ast::Slice(term, from, to, optional) => {
                self.range_key(from.map(at).as_ref(), to.map(at).as_ref())?;
                self.filter(&at(*term))?;
                self.emit(Op::Index(*optional)).map(drop)
            }
            Ast::Iterate(term, optional) => {
                self.filter(&at(*term))?;
                self.emit(Op::Each(*optional)).map(drop)
            }
            Ast::Try(body, handler) => self.guarded(&at(*body), handler.map(at).as_ref()),
            Ast::Negate(operand) => {
                self.filter(&at(*operand))?;
                self.native("_negate", 0, &[])
            }
            Ast::Pipe(stages) => stages.iter().try_for_each(|stage| self.filter(&at(*stage))),
            Ast::Comma(outputs) => self.comma(&outputs.iter().map(|output| at(*output)).collect::<Vec<_>>()),
            Ast::Binary(..) => self.operators(filter),
            Ast::And(a, b) => self.logic(&at(*a), &at(*b), false),
            Ast::Or(a, b) => self.logic(&at(*a), &at(*b), true),
            Ast::Alternative(a, b) => self.alternative(&at(*a), |c| c.filter(&at(*b))),
            Ast::If(condition, then, otherwise) => {
                self.condition(&at(*condition), &at(*then), otherwise.map(at).as_ref())
            }
            Ast::Reduce(source, patterns, init, update) => {
                self.reduce(&at(*source), patterns, &at(*init), &at(*update))
            }
            Ast::Foreach(source, patterns, init, update, extract) => {
                self.foreach(&at(*source), patterns, &at(*init), &at(*update), extract.as_ref())
            }
            Ast::Object(members) => self.object(filter, members),
            Ast::Array(None) => self.load_constant(Value::Array(Array::new())),
            Ast::Array(Some(items)) => self.collect(&at(*items)),
            Ast::Variable(name, place) => self.variable(&filter.scope, name, *place),
            Ast::Bind(source, patterns, body) => self.bind(&at(*source), patterns, *body),
            Ast::Define(function, rest) => {
                let depth = Some(self.current().depth);
                let definition = Definition::new(filter.tree, function, filter.scope.clone(), depth);
                let scope = filter.scope.with(Binding::Function(definition));
                self.filter(&Filter { id: *rest, scope, ..filter.clone() })
            }
            Ast::Call(name, arguments, place) => {
                let arguments: Vec<_> = arguments.iter().map(|argument| at(*argument)).collect();
                self.call(&filter.scope, name, &arguments, *place)
            }
            Ast::Assign(assignment, target, value) => self.assign(*assignment, &at(*target), &at(*value)),
            Ast::Label(name, body) => {
                let label = self.local();
                let scope = self.named(&filter.scope, &label_name(name), label);
                self.labelled(label, |c| c.filter(&Filter { id: *body, scope, ..filter.clone() }))
            }
            Ast::Break(name, place) => match filter.scope.variable(&label_name(name)) {
                Some(found) => {
                    let label = self.slot(found);
                    self.emit(Op::Break(label)).map(drop)
                }
                None => Err(error(*place, format!("`break ${name}` is outside of `label ${name}`"))),
            },
        }
    }

    fn labelled(&mut self, label: Slot, body: impl FnOnce(&mut Self) -> Compiled) -> Compiled {
        self.emit(Op::Label(label))?;
        let start = self.jump(Op::Try)?;
        body(self)?;
        self.emit(Op::TryEnd)?;
        let end = self.jump(Op::Jump)?;
        self.land(start);
        self.emit(Op::CatchBreak(label))?;
        self.land(end);
        Ok(())
    }

    fn format(&mut self, format: &EcoString) -> Compiled {
        if format == "text" {
            return self.native("tostring", 0, &[]);
        }
        let name = self.constant(Value::String(format.clone()));
        self.emit(Op::Under(name))?;
        self.native("format", 1, &[])
    }

    /// The last part is evaluated first.
    fn text(&mut self, filter: &Filter<'t>, format: &EcoString, parts: &[Part]) -> Compiled {
        for part in parts.iter().rev() {
            match part {
                Part::Plain(text) => {
                    let constant = self.constant(Value::String(text.clone()));
                    self.emit(Op::Under(constant))?;
                }
                Part::Filter(part) => {
                    self.emit(Op::Enter)?;
                    self.filter(&Filter { id: *part, ..filter.clone() })?;
                    self.format(format)?;
                    self.emit(Op::Leave)?;
                }
            }
        }
        self.emit(Op::Concat(parts.len() as u32)).map(drop)
    }

    fn index(&mut self, term: &Filter<'t>, key: &Filter<'t>, optional: bool) -> Compiled {
        if let Some(key) = self.folded(key) {
            self.filter(term)?;
            let constant = self.constant(key);
            return self.emit(Op::Field(constant, optional)).map(drop);
        }
        self.aside(key)?;
        self.filter(term)?;
        self.emit(Op::Index(optional)).map(drop)
    }

    /// `x -> {start, end} x`
    fn range_key(&mut self, from: Option<&Filter<'t>>, to: Option<&Filter<'t>>) -> Compiled {
        let known = |bound: Option<&Filter<'t>>| match bound {
            None => Some(Value::Null),
            Some(filter) => self.folded(filter),
        };
        if let (Some(start), Some(end)) = (known(from), known(to)) {
            let range: Map = [("start", start), ("end", end)].into_iter().collect();
            let range = self.constant(Value::Object(range));
            return self.emit(Op::Under(range)).map(drop);
        }
        self.emit(Op::Enter)?;
        let empty = self.constant(Value::Object(Map::new()));
        self.emit(Op::Under(empty))?;
        for (name, bound) in [("start", from), ("end", to)] {
            let name = self.constant(Value::from(name));
            self.emit(Op::Under(name))?;
            match bound {
                Some(bound) => self.aside(bound)?,
                None => {
                    let null = self.constant(Value::Null);
                    self.emit(Op::Under(null))?;
                }
            }
            self.emit(Op::Insert)?;
        }
        self.emit_all(&[Op::Pop, Op::Leave])
    }

    fn collect(&mut self, items: &Filter<'t>) -> Compiled {
        let list = self.local();
        self.set(list, Value::Array(Array::new()))?;
        let end = self.jump(Op::Fork)?;
        self.filter(items)?;
        self.emit_all(&[Op::Append(list), Op::Backtrack])?;
        self.land(end);
        self.emit(Op::Take(list)).map(drop)
    }

    fn object(&mut self, filter: &Filter<'t>, members: &[(Id, Option<Id>)]) -> Compiled {
        let empty = self.constant(Value::Object(Map::new()));
        self.emit(Op::Under(empty))?;
        for (key, value) in members {
            self.aside(&Filter { id: *key, ..filter.clone() })?;
            match value {
                Some(value) => self.aside(&Filter { id: *value, ..filter.clone() })?,
                None => self.emit_all(&[Op::Enter, Op::Pop, Op::Over, Op::Over, Op::Index(false), Op::Leave])?,
            }
            self.emit(Op::Insert)?;
        }
        self.emit(Op::Pop).map(drop)
    }

    fn variable(&mut self, scope: &Scope<'t>, name: &EcoString, place: Place) -> Compiled {
        if let Some(found) = scope.variable(name) {
            let slot = self.slot(found);
            return self.emit(Op::Load(slot)).map(drop);
        }
        let argument = argument(scope, self.arguments, name, place)?;
        self.emit(Op::Argument(argument)).map(drop)
    }
}

fn label_name(name: &EcoString) -> EcoString {
    ecow::eco_format!("*{name}")
}

pub(super) fn error(place: Place, message: String) -> SyntaxError {
    SyntaxError { message, offset: place.offset, len: place.len }
}

/// The number of a runtime argument.
pub(super) fn argument(
    scope: &Scope<'_>,
    arguments: &[EcoString],
    name: &EcoString,
    place: Place,
) -> Result<u32, SyntaxError> {
    if let Some(found) = arguments.iter().position(|own| own == name) {
        return Ok(found as u32);
    }
    if name == "ENV" {
        let message = "`$ENV` is not to be had: expressions can't reach the process's environment";
        return Err(error(place, message.into()));
    }
    let known: Vec<String> = scope.variables().iter().chain(arguments).map(|own| format!("${own}")).collect();
    Err(error(place, format!("`${name}` is not defined: here are {}", known.join(", "))))
}

/// The value of a filter that is a constant.
pub(super) fn fold(tree: &Tree, id: Id) -> Option<Value> {
    match tree.get(id) {
        Ast::Literal(value) => Some(value.clone()),
        Ast::Array(None) => Some(Value::Array(Array::new())),
        Ast::Array(Some(items)) => match tree.get(*items) {
            Ast::Comma(items) => items.iter().map(|item| fold(tree, *item)).collect(),
            _ => fold(tree, *items).map(|item| [item].into_iter().collect()),
        },
        Ast::Object(members) => {
            let mut map = Map::new();
            for (key, value) in members {
                match (fold(tree, *key)?, fold(tree, (*value)?)?) {
                    (Value::String(key), value) => map.insert(key, value),
                    _ => return None,
                };
            }
            Some(Value::Object(map))
        }
        _ => None,
    }
}

/// Calls whose result is the function's own need its frame no more, unless they hand a filter of it over.
fn tail_calls(code: &mut [Op], closures: &[Closure]) {
    for at in 0..code.len() {
        let Op::Call(start, count) = code[at] else { continue };
        let mut next = at + 1;
        while let Some(Op::Jump(target)) = code.get(next)
            && *target as usize > next
        {
            next = *target as usize;
        }
        let used = &closures[start as usize..=start as usize + usize::from(count)];
        let needs_frame = used.iter().any(|closure| matches!(closure, Closure::New { level: 0, .. }));
        if matches!(code.get(next), Some(Op::Return)) && !needs_frame {
            code[at] = Op::TailCall(start, count);
        }
    }
}

fn moved(op: Op, base: Target) -> Op {
    match op {
        Op::Fork(target) => Op::Fork(target + base),
        Op::Try(target) => Op::Try(target + base),
        Op::Alternative(target) => Op::Alternative(target + base),
        Op::Jump(target) => Op::Jump(target + base),
        Op::JumpUnless(target) => Op::JumpUnless(target + base),
        Op::Branch(target) => Op::Branch(target + base),
        other => other,
    }
}
