//! Paths and assignments.

use super::{Compiled, Compiler};
use crate::expression::ast::Assignment;
use crate::expression::program::{Op, Slot};
use crate::expression::scope::Filter;
use crate::value::{Array, Value};

impl<'t> Compiler<'t> {
    pub(super) fn assign(&mut self, assignment: Assignment, target: &Filter<'t>, value: &Filter<'t>) -> Compiled {
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

    pub(super) fn operand(&mut self, value: &Filter<'t>) -> Compiled<Slot> {
        let operand = self.local();
        self.emit(Op::Dup)?;
        self.filter(value)?;
        self.emit(Op::Store(operand))?;
        Ok(operand)
    }

    pub(super) fn path(&mut self, target: &Filter<'t>) -> Compiled {
        self.emit(Op::PathStart)?;
        self.filter(target)?;
        self.emit(Op::PathEnd).map(drop)
    }

    /// `|=`: the first output of `change` at each path; paths without one are deleted in the end.
    pub(super) fn update(&mut self, target: &Filter<'t>, change: impl FnOnce(&mut Self) -> Compiled) -> Compiled {
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
}
