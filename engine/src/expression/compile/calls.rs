//! Calls: functions in Rust, in the language and of the expression itself.

use std::rc::Rc;

use ecow::EcoString;

use super::{Compiled, Compiler, INLINE_MAX};
use crate::expression::ast::{Ast, Place};
use crate::expression::builtins::{self, Native};
use crate::expression::prelude;
use crate::expression::program::{Closure, Function, Op};
use crate::expression::scope::{Binding, Definition, Filter, Scope};
use crate::value::Value;

impl<'t> Compiler<'t> {
    /// Calls a function written in Rust with arguments; those that are there already are not listed.
    pub(super) fn native(&mut self, name: &str, arity: usize, arguments: &[Filter<'t>]) -> Compiled {
        let native = builtins::native(name, arity);
        let native: &'static Native = native.expect("a function that the compiler itself calls");
        self.call_native(native, arguments)
    }

    pub(super) fn call_native(&mut self, native: &'static Native, arguments: &[Filter<'t>]) -> Compiled {
        arguments.iter().rev().try_for_each(|argument| self.aside(argument))?;
        self.emit(Op::Native(native)).map(drop)
    }

    pub(super) fn call(
        &mut self,
        scope: &Scope<'t>,
        name: &EcoString,
        arguments: &[Filter<'t>],
        place: Place,
    ) -> Compiled {
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

    pub(super) fn call_builtin(&mut self, name: &EcoString, arguments: &[Filter<'t>], place: Place) -> Compiled {
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
    pub(super) fn global(&mut self, name: &str, arity: usize) -> Option<Rc<Definition<'t>>> {
        let (tree, function) = prelude::function(name, arity)?;
        let key = (function.name.as_str(), arity);
        let new = || Definition::new(tree, function, Scope::default(), None);
        Some(self.globals.entry(key).or_insert_with(new).clone())
    }

    pub(super) fn call_definition(&mut self, definition: &Rc<Definition<'t>>, arguments: &[Filter<'t>]) -> Compiled {
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

    pub(super) fn inline(&mut self, definition: &Definition<'t>, arguments: &[Filter<'t>]) -> Compiled {
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
    pub(super) fn closure(&mut self, filter: &Filter<'t>) -> Compiled<Closure> {
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

    pub(super) fn reserve(&mut self) -> u32 {
        self.program.functions.push(Function::default());
        self.bodies.push(Vec::new());
        self.bodies.len() as u32 - 1
    }

    /// Compiles a definition as a function of its own.
    pub(super) fn function(&mut self, definition: &Rc<Definition<'t>>) -> Compiled<u32> {
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

    pub(super) fn emit_call(&mut self, callee: Closure, arguments: Vec<Closure>) -> Compiled {
        let start = self.program.closures.len() as u32;
        let count = arguments.len() as u16;
        self.program.closures.push(callee);
        self.program.closures.extend(arguments);
        self.emit(Op::Call(start, count)).map(drop)
    }
}
