//! Variables, patterns and folds.

use ecow::EcoString;

use super::{Compiled, Compiler};
use crate::expression::ast::{Id, Pattern};
use crate::expression::program::{Op, Slot};
use crate::expression::scope::{Filter, Scope};
use crate::value::Value;

impl<'t> Compiler<'t> {
    pub(super) fn reduce(
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

    pub(super) fn foreach(
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

    pub(super) fn bind(&mut self, source: &Filter<'t>, patterns: &'t [Pattern], body: Id) -> Compiled {
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
    pub(super) fn destructure(&mut self, source: &Filter<'t>, patterns: &'t [Pattern]) -> Compiled<Scope<'t>> {
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
}

/// The variables that patterns bind, and how.
struct Found {
    slots: Vec<(EcoString, Slot)>,
    /// Whether several patterns share their variables.
    shared: bool,
    /// Whether a pattern may yet be given up.
    now: bool,
}
