//! Operators, and what is tried one after the other: conditions, alternatives, `try`, several outputs.

use super::{Compiled, Compiler};
use crate::expression::ast::Ast;
use crate::expression::program::Op;
use crate::expression::scope::Filter;
use crate::value::Value;

impl<'t> Compiler<'t> {
    pub(super) fn guarded(&mut self, body: &Filter<'t>, handler: Option<&Filter<'t>>) -> Compiled {
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

    pub(super) fn comma(&mut self, outputs: &[Filter<'t>]) -> Compiled {
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
    pub(super) fn operators(&mut self, filter: &Filter<'t>) -> Compiled {
        let mut operators = Vec::new();
        let mut left = filter.clone();
        while let Ast::Binary(operator, a, b) = left.tree.get(left.id) {
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
    pub(super) fn logic(&mut self, a: &Filter<'t>, b: &Filter<'t>, decided: bool) -> Compiled {
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

    pub(super) fn alternative(&mut self, a: &Filter<'t>, b: impl FnOnce(&mut Self) -> Compiled) -> Compiled {
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

    pub(super) fn condition(
        &mut self,
        condition: &Filter<'t>,
        then: &Filter<'t>,
        otherwise: Option<&Filter<'t>>,
    ) -> Compiled {
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
}
