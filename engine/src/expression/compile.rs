//! A syntax tree to a program for the machine.
//!
//! Names are resolved here, once. Functions that don't call themselves are compiled where they are called, so that most
//! programs need no frames. The order in which operands are evaluated is jq's: it shows in the order of the outputs.

use std::collections::HashMap;
use std::rc::Rc;

use ecow::EcoString;

use super::SyntaxError;
use super::ast::{Assignment, Ast, Id, Part, Pattern, Place, Tree};
use super::builtins::{self, Native};
use super::prelude;
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

    fn guarded(&mut self, body: &Filter<'t>, handler: Option<&Filter<'t>>) -> Compiled {
        let start = self.jump(Op::Try)?;
        self.filter(body)?;
        self.emit(Op::TryEnd)?;
        let end = self.jump(Op::Jump)?;
        self.land(start);
        match handler {
            Some(handler) => self.filter(handler)?,
            None => self.emit(Op::Backtrack).map(drop)?,
        }
        self.land(end);
        Ok(())
    }

    fn comma(&mut self, outputs: &[Filter<'t>]) -> Compiled {
        let mut ends = Vec::new();
        for (number, output) in outputs.iter().enumerate() {
            if number + 1 == outputs.len() {
                self.filter(output)?;
                break;
            }
            let next = self.jump(Op::Fork)?;
            self.filter(output)?;
            ends.push(self.jump(Op::Jump)?);
            self.land(next);
        }
        ends.into_iter().for_each(|end| self.land(end));
        Ok(())
    }

    /// Operators that lean to the left, however many.
    fn operators(&mut self, filter: &Filter<'t>) -> Compiled {
        let mut operators = Vec::new();
        let mut left = filter.clone();
        loop {
            let Ast::Binary(operator, a, b) = left.tree.get(left.id) else { break };
            if !operators.is_empty() {
                self.emit(Op::Enter)?;
            }
            self.aside(&Filter { id: *b, ..left.clone() })?;
            operators.push(*operator);
            left = Filter { id: *a, ..left.clone() };
        }
        self.aside(&left)?;
        while let Some(operator) = operators.pop() {
            self.emit(Op::Operator(operator))?;
            if !operators.is_empty() {
                self.emit(Op::Leave)?;
            }
        }
        Ok(())
    }

    /// `and` and `or`: whichever `decided` is decides alone.
    fn logic(&mut self, a: &Filter<'t>, b: &Filter<'t>, decided: bool) -> Compiled {
        self.emit(Op::Dup)?;
        self.filter(a)?;
        let falsy = self.jump(Op::JumpUnless)?;
        self.emit(Op::Pop)?;
        let verdict = |c: &mut Self, second: bool| {
            if second {
                c.filter(b)?;
                c.emit(Op::Truth).map(drop)
            } else {
                c.load_constant(Value::Bool(decided))
            }
        };
        verdict(self, !decided)?;
        let end = self.jump(Op::Jump)?;
        self.land(falsy);
        self.emit(Op::Pop)?;
        verdict(self, decided)?;
        self.land(end);
        Ok(())
    }

    fn alternative(&mut self, a: &Filter<'t>, b: impl FnOnce(&mut Self) -> Compiled) -> Compiled {
        let found = self.local();
        self.set(found, Value::Bool(false))?;
        let none = self.jump(Op::Fork)?;
        self.filter(a)?;
        let falsy = self.jump(Op::JumpUnless)?;
        self.set(found, Value::Bool(true))?;
        let end = self.jump(Op::Jump)?;
        self.land(falsy);
        self.emit(Op::Backtrack)?;
        self.land(none);
        self.emit_all(&[Op::Dup, Op::Load(found)])?;
        let other = self.jump(Op::JumpUnless)?;
        self.emit(Op::Backtrack)?;
        self.land(other);
        self.emit(Op::Pop)?;
        b(self)?;
        self.land(end);
        Ok(())
    }

    fn condition(&mut self, condition: &Filter<'t>, then: &Filter<'t>, otherwise: Option<&Filter<'t>>) -> Compiled {
        self.aside(condition)?;
        let falsy = self.jump(Op::Branch)?;
        self.filter(then)?;
        let end = self.jump(Op::Jump)?;
        self.land(falsy);
        if let Some(otherwise) = otherwise {
            self.filter(otherwise)?;
        }
        self.land(end);
        Ok(())
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

    fn reduce(
        &mut self,
        source: &Filter<'t>,
        patterns: &'t [Pattern],
        init: &Filter<'t>,
        update: &Filter<'t>,
    ) -> Compiled {
        let state = self.local();
        self.emit(Op::Dup)?;
        self.filter(init)?;
        self.emit(Op::Store(state))?;
        let end = self.jump(Op::Fork)?;
        self.emit(Op::DupLast)?;
        self.filter(source)?;
        let scope = self.destructure(source, patterns)?;
        self.emit(Op::Take(state))?;
        self.filter(&Filter { scope, ..update.clone() })?;
        self.emit_all(&[Op::Store(state), Op::Backtrack])?;
        self.land(end);
        self.emit(Op::Take(state)).map(drop)
    }

    fn foreach(
        &mut self,
        source: &Filter<'t>,
        patterns: &'t [Pattern],
        init: &Filter<'t>,
        update: &Filter<'t>,
        extract: Option<&Id>,
    ) -> Compiled {
        let state = self.local();
        self.emit(Op::Dup)?;
        self.filter(init)?;
        self.emit_all(&[Op::Store(state), Op::Dup])?;
        self.filter(source)?;
        let scope = self.destructure(source, patterns)?;
        self.emit(Op::Take(state))?;
        self.filter(&Filter { scope: scope.clone(), ..update.clone() })?;
        self.emit_all(&[Op::Dup, Op::Store(state)])?;
        match extract {
            Some(extract) => self.filter(&Filter { id: *extract, scope, ..update.clone() }),
            None => Ok(()),
        }
    }

    fn bind(&mut self, source: &Filter<'t>, patterns: &'t [Pattern], body: Id) -> Compiled {
        let scope = match patterns {
            [Pattern::Variable(name)] => {
                self.aside(source)?;
                let slot = self.local();
                self.emit(Op::StoreUnder(slot))?;
                self.named(&source.scope, name, slot)
            }
            _ => {
                self.emit(Op::Dup)?;
                self.aside(source)?;
                self.emit(Op::Pop)?;
                self.destructure(source, patterns)?
            }
        };
        self.filter(&Filter { id: body, scope, ..source.clone() })
    }

    /// `x v -> x`, with the variables of the patterns; what they are in the scope that is returned.
    fn destructure(&mut self, source: &Filter<'t>, patterns: &'t [Pattern]) -> Compiled<Scope<'t>> {
        let mut found = Found { slots: Vec::new(), shared: patterns.len() > 1, now: false };
        let Some((last, others)) = patterns.split_last() else { return Ok(source.scope.clone()) };
        if found.shared {
            let mut names = Vec::new();
            patterns.iter().for_each(|pattern| pattern.variables(&mut names));
            for name in names {
                if !found.slots.iter().any(|(own, _)| *own == name) {
                    let slot = self.local();
                    self.set(slot, Value::Null)?;
                    found.slots.push((name, slot));
                }
            }
        }
        let mut ends = Vec::new();
        for pattern in others {
            let next = self.jump(Op::Alternative)?;
            found.now = true;
            self.pattern(source, pattern, &mut found)?;
            ends.push(self.jump(Op::Jump)?);
            self.land(next);
        }
        found.now = false;
        self.pattern(source, last, &mut found)?;
        ends.into_iter().for_each(|end| self.land(end));
        // Of two variables of one name the first that is set counts.
        let mut scope = source.scope.clone();
        for (name, slot) in found.slots.iter().rev() {
            scope = self.named(&scope, name, *slot);
        }
        Ok(scope)
    }

    /// `v ->`
    fn pattern(&mut self, source: &Filter<'t>, pattern: &'t Pattern, found: &mut Found) -> Compiled {
        match pattern {
            Pattern::Variable(name) => self.store(name, found),
            Pattern::Array(items) => {
                // The last first, as jq does it.
                for (place, item) in items.iter().enumerate().rev() {
                    let key = self.constant(Value::from(place));
                    self.emit_all(&[Op::Dup, Op::Field(key, false)])?;
                    self.pattern(source, item, found)?;
                }
                self.emit(Op::Pop).map(drop)
            }
            Pattern::Object(members) => {
                for (key, name, inner) in members {
                    self.emit(Op::Dup)?;
                    self.aside(&Filter { id: *key, ..source.clone() })?;
                    self.emit(Op::Index(false))?;
                    match (name, inner) {
                        (Some(name), Some(inner)) => {
                            self.emit(Op::Dup)?;
                            self.store(name, found)?;
                            self.pattern(source, inner, found)?;
                        }
                        (Some(name), None) => self.store(name, found)?,
                        (None, Some(inner)) => self.pattern(source, inner, found)?,
                        (None, None) => self.emit(Op::Pop).map(drop)?,
                    }
                }
                self.emit(Op::Pop).map(drop)
            }
        }
    }

    fn store(&mut self, name: &EcoString, found: &mut Found) -> Compiled {
        let known = found.slots.iter().find(|(own, _)| own == name).filter(|_| found.shared);
        let slot = match known {
            Some((_, slot)) => *slot,
            None => {
                let slot = self.local();
                found.slots.push((name.clone(), slot));
                slot
            }
        };
        self.emit(if found.now { Op::StoreForNow(slot) } else { Op::Store(slot) }).map(drop)
    }

    fn assign(&mut self, assignment: Assignment, target: &Filter<'t>, value: &Filter<'t>) -> Compiled {
        match assignment {
            Assignment::Set => {
                let new = self.local();
                self.aside(value)?;
                self.emit(Op::StoreUnder(new))?;
                let whole = self.local();
                self.emit_all(&[Op::Dup, Op::Store(whole)])?;
                let end = self.jump(Op::Fork)?;
                self.path(target)?;
                self.emit_all(&[Op::Dup, Op::Load(new), Op::PutPath(whole), Op::Backtrack])?;
                self.land(end);
                self.emit(Op::Take(whole)).map(drop)
            }
            Assignment::Update => self.update(target, |c| c.filter(value)),
            Assignment::Modify(operator) => {
                let operand = self.operand(value)?;
                self.update(target, |c| {
                    c.emit_all(&[Op::Enter, Op::Load(operand), Op::Leave, Op::Dup, Op::Operator(operator)])
                })
            }
            Assignment::Default => {
                let operand = self.operand(value)?;
                self.update(target, |c| {
                    let unset = c.jump(Op::JumpUnless)?;
                    let end = c.jump(Op::Jump)?;
                    c.land(unset);
                    c.emit(Op::Load(operand))?;
                    c.land(end);
                    Ok(())
                })
            }
        }
    }

    fn operand(&mut self, value: &Filter<'t>) -> Compiled<Slot> {
        let operand = self.local();
        self.emit(Op::Dup)?;
        self.filter(value)?;
        self.emit(Op::Store(operand))?;
        Ok(operand)
    }

    fn path(&mut self, target: &Filter<'t>) -> Compiled {
        self.emit(Op::PathStart)?;
        self.filter(target)?;
        self.emit(Op::PathEnd).map(drop)
    }

    /// `|=`: the first output of `change` at each path; paths without one are deleted in the end.
    fn update(&mut self, target: &Filter<'t>, change: impl FnOnce(&mut Self) -> Compiled) -> Compiled {
        let (whole, gone, mark) = (self.local(), self.local(), self.local());
        self.emit_all(&[Op::Dup, Op::Store(whole)])?;
        self.set(gone, Value::Array(Array::new()))?;
        let end = self.jump(Op::Fork)?;
        self.path(target)?;
        self.emit(Op::Mark(mark))?;
        let none = self.jump(Op::Fork)?;
        self.emit(Op::LookUp(whole))?;
        change(self)?;
        self.emit_all(&[Op::PutPath(whole), Op::Cut(mark), Op::Backtrack])?;
        self.land(none);
        self.emit_all(&[Op::Append(gone), Op::Backtrack])?;
        self.land(end);
        self.emit_all(&[Op::Enter, Op::Take(gone), Op::Leave, Op::Take(whole)])?;
        self.native("delpaths", 1, &[])
    }

    /// Calls a function written in Rust with arguments; those that are there already are not listed.
    fn native(&mut self, name: &str, arity: usize, arguments: &[Filter<'t>]) -> Compiled {
        let native = builtins::native(name, arity);
        let native: &'static Native = native.expect("a function that the compiler itself calls");
        self.call_native(native, arguments)
    }

    fn call_native(&mut self, native: &'static Native, arguments: &[Filter<'t>]) -> Compiled {
        arguments.iter().rev().try_for_each(|argument| self.aside(argument))?;
        self.emit(Op::Native(native)).map(drop)
    }

    fn call(&mut self, scope: &Scope<'t>, name: &EcoString, arguments: &[Filter<'t>], place: Place) -> Compiled {
        match scope.function(name, arguments.len()) {
            Some(Binding::Function(definition)) => self.call_definition(&definition, arguments),
            Some(Binding::Inline { filter, .. }) => self.filter(&filter),
            Some(Binding::Parameter { depth, index, .. }) => {
                let level = self.current().depth - depth;
                self.emit_call(Closure::Parameter { level, index }, Vec::new())
            }
            Some(Binding::Variable { .. }) => Ok(()),
            None => self.call_builtin(name, arguments, place),
        }
    }

    fn call_builtin(&mut self, name: &EcoString, arguments: &[Filter<'t>], place: Place) -> Compiled {
        match (name.as_str(), arguments) {
            ("empty", []) => self.emit(Op::Backtrack).map(drop),
            ("path", [target]) => self.path(target),
            ("getpath", [path]) => {
                self.aside(path)?;
                self.emit(Op::GetPath).map(drop)
            }
            ("range", [from, to]) => {
                let (start, at) = (self.local(), self.local());
                self.emit(Op::Dup)?;
                self.filter(from)?;
                self.emit(Op::Store(start))?;
                self.filter(to)?;
                self.emit_all(&[Op::Dup, Op::Load(start), Op::Store(at), Op::Range(at)])
            }
            ("last", [outputs]) => {
                let (last, none) = (self.local(), self.local());
                self.set(last, Value::Null)?;
                self.set(none, Value::Bool(true))?;
                let end = self.jump(Op::Fork)?;
                self.filter(outputs)?;
                self.emit_all(&[Op::Dup, Op::Store(last)])?;
                self.load_constant(Value::Bool(false))?;
                self.emit_all(&[Op::Store(none), Op::Backtrack])?;
                self.land(end);
                self.emit(Op::Take(none))?;
                let some = self.jump(Op::JumpUnless)?;
                self.emit(Op::Backtrack)?;
                self.land(some);
                self.emit(Op::Take(last)).map(drop)
            }
            _ => match (builtins::native(name, arguments.len()), self.global(name, arguments.len())) {
                (Some(native), _) => self.call_native(native, arguments),
                (None, Some(definition)) => self.call_definition(&definition, arguments),
                (None, None) => Err(builtins::unknown(name, arguments.len(), place)),
            },
        }
    }

    /// A function of the language that is written in it.
    fn global(&mut self, name: &str, arity: usize) -> Option<Rc<Definition<'t>>> {
        let (tree, function) = prelude::function(name, arity)?;
        let key = (function.name.as_str(), arity);
        let new = || Definition::new(tree, function, Scope::default(), None);
        Some(self.globals.entry(key).or_insert_with(new).clone())
    }

    fn call_definition(&mut self, definition: &Rc<Definition<'t>>, arguments: &[Filter<'t>]) -> Compiled {
        if self.total < INLINE_MAX && self.inlined < 64 && definition.is_inline(arguments) {
            self.inlined += 1;
            let compiled = self.inline(definition, arguments);
            self.inlined -= 1;
            return compiled;
        }
        let function = self.function(definition)?;
        let callee = match definition.depth {
            Some(depth) => Closure::New { function, level: self.current().depth - depth },
            None => Closure::Global { function },
        };
        let closures = arguments.iter().map(|argument| self.closure(argument)).collect::<Compiled<Vec<_>>>()?;
        self.emit_call(callee, closures)
    }

    fn inline(&mut self, definition: &Definition<'t>, arguments: &[Filter<'t>]) -> Compiled {
        let mut scope = definition.scope.clone();
        for (parameter, argument) in definition.function.parameters.iter().zip(arguments) {
            let name: EcoString = parameter.strip_prefix('$').unwrap_or(parameter).into();
            scope = scope.with(Binding::Inline { name: name.clone(), filter: argument.clone() });
            if parameter.starts_with('$') {
                self.aside(argument)?;
                let slot = self.local();
                self.emit(Op::StoreUnder(slot))?;
                scope = self.named(&scope, &name, slot);
            }
        }
        self.filter(&Filter { tree: definition.tree, id: definition.function.body, scope })
    }

    /// A filter to hand over.
    fn closure(&mut self, filter: &Filter<'t>) -> Compiled<Closure> {
        if let Ast::Call(name, arguments, _) = filter.tree.get(filter.id)
            && arguments.is_empty()
        {
            match filter.scope.function(name, 0) {
                Some(Binding::Parameter { depth, index, .. }) => {
                    let level = self.current().depth - depth;
                    return Ok(Closure::Parameter { level, index });
                }
                Some(Binding::Inline { filter, .. }) => return self.closure(&filter),
                _ => {}
            }
        }
        let depth = self.current().depth + 1;
        let function = self.reserve();
        self.body(function, depth, |c| c.filter(filter))?;
        Ok(Closure::New { function, level: 0 })
    }

    fn reserve(&mut self) -> u32 {
        self.program.functions.push(Function::default());
        self.bodies.push(Vec::new());
        self.bodies.len() as u32 - 1
    }

    /// Compiles a definition as a function of its own.
    fn function(&mut self, definition: &Rc<Definition<'t>>) -> Compiled<u32> {
        if let Some(number) = definition.compiled.get() {
            return Ok(number);
        }
        let number = self.reserve();
        definition.compiled.set(Some(number));
        let depth = definition.depth.map_or(0, |depth| depth + 1);
        self.body(number, depth, |c| {
            let mut scope = definition.scope.with(Binding::Function(definition.clone()));
            let parameters = definition.function.parameters.iter().enumerate();
            for (index, parameter) in parameters.clone() {
                let name = parameter.strip_prefix('$').unwrap_or(parameter).into();
                scope = scope.with(Binding::Parameter { name, depth, index: index as u16 });
            }
            for (index, parameter) in parameters {
                if let Some(name) = parameter.strip_prefix('$') {
                    c.emit(Op::Enter)?;
                    c.emit_call(Closure::Parameter { level: 0, index: index as u16 }, Vec::new())?;
                    c.emit(Op::Leave)?;
                    let slot = c.local();
                    c.emit(Op::StoreUnder(slot))?;
                    scope = c.named(&scope, &name.into(), slot);
                }
            }
            c.filter(&Filter { tree: definition.tree, id: definition.function.body, scope })
        })?;
        Ok(number)
    }

    fn emit_call(&mut self, callee: Closure, arguments: Vec<Closure>) -> Compiled {
        let start = self.program.closures.len() as u32;
        let count = arguments.len() as u16;
        self.program.closures.push(callee);
        self.program.closures.extend(arguments);
        self.emit(Op::Call(start, count)).map(drop)
    }
}

/// The variables that patterns bind, and how.
struct Found {
    slots: Vec<(EcoString, Slot)>,
    /// Whether several patterns share their variables.
    shared: bool,
    /// Whether a pattern may yet be given up.
    now: bool,
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
