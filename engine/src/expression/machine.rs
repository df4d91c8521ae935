//! The machine: runs a program by backtracking, one instruction after the other, with all its state on the heap.
//!
//! Three stacks hold values, frames of called functions, and forks. A fork keeps how high the other two were; what stands
//! below that is kept for the way back and copied instead of taken. Going back to a fork makes everything above it vanish.

mod calls;
mod forks;
mod steps;

use std::sync::Arc;

use super::Context;
use super::arithmetic;
use super::builtins::paths;
use super::builtins::regex::Kept;
use super::errors::{Stop, broken, typed};
use super::program::{Op, Program, Slot, Target};
use super::run::Run;
use crate::value::Value;

/// No value, no frame.
const NONE: u32 = u32::MAX;

/// A value and the place of the one under it.
struct Node {
    value: Value,
    under: u32,
}

/// A called function.
struct Frame {
    /// Where to go on, `NONE` for the program itself.
    back: Target,
    /// The frame of the caller.
    caller: u32,
    /// The frame of the function around it.
    outer: u32,
    locals: u32,
    parameters: u32,
}

#[derive(Clone, Copy)]
struct Called {
    function: u32,
    outer: u32,
}

/// Where to go on when there is no further output.
struct Fork {
    at: Target,
    top: u32,
    frame: u32,
    values: u32,
    frames: u32,
    locals: u32,
    parameters: u32,
    path_len: u32,
    aside: u32,
    place: Value,
}

/// An evaluation with the machine.
pub(super) struct Machine<'p, 'c> {
    program: &'p Program,
    pub run: Run<'c>,
    values: Vec<Node>,
    top: u32,
    frames: Vec<Frame>,
    frame: u32,
    locals: Vec<Value>,
    parameters: Vec<Called>,
    forks: Vec<Fork>,
    /// Values and frames from here on were made since the last fork.
    values_floor: u32,
    frames_floor: u32,
    /// The path from where `path` began, while paths are asked for.
    path: Option<Vec<Value>>,
    /// The value at the end of it.
    place: Value,
    /// Values within each other that are no part of the path.
    aside: u32,
    labels: i64,
    at: Target,
    /// An error on its way back, and how many bodies of `try` it came from behind.
    raised: Option<Stop>,
    wraps: u32,
    /// Whether there was an output: the next one is on the way back.
    started: bool,
}

/// A path as it was kept on the stack.
fn before(kept: &Value) -> Option<Vec<Value>> {
    kept.as_array().map(|path| path.to_vec())
}

/// What an instruction did.
enum Next {
    On,
    Back,
    Output(Value),
}

type Done = Result<Next, Stop>;

impl<'p, 'c> Machine<'p, 'c> {
    pub fn new(
        program: &'p Program,
        input: Value,
        cx: &'c Context<'c>,
        written: Option<&Arc<Kept>>,
    ) -> Machine<'p, 'c> {
        let main = program.functions[0];
        let frame = Frame { back: NONE, caller: NONE, outer: NONE, locals: 0, parameters: 0 };
        Machine {
            program,
            run: Run::new(cx, written),
            values: vec![Node { value: input, under: NONE }],
            top: 0,
            frames: vec![frame],
            frame: 0,
            locals: vec![Value::Null; usize::from(main.locals)],
            parameters: Vec::new(),
            forks: Vec::new(),
            values_floor: 0,
            frames_floor: 0,
            path: None,
            place: Value::Null,
            aside: 0,
            labels: 0,
            at: main.entry,
            raised: None,
            wraps: 0,
            started: false,
        }
    }

    /// The next output; `None` at the end.
    ///
    /// # Errors
    /// What was thrown and not caught, or a limit. There is nothing more after it.
    pub fn next(&mut self) -> Result<Option<Value>, Stop> {
        if self.started && !self.back()? {
            return Ok(None);
        }
        self.started = true;
        loop {
            self.run.charge(1)?;
            let op = self.program.code[self.at as usize];
            self.at += 1;
            match self.step(op) {
                Ok(Next::On) => {}
                Ok(Next::Output(value)) => return Ok(Some(value)),
                Ok(Next::Back) => {
                    if !self.back()? {
                        return Ok(None);
                    }
                }
                Err(stop @ (Stop::Limit(_) | Stop::Enough)) => return Err(stop),
                Err(stop) => {
                    self.raised = Some(stop);
                    self.wraps = 0;
                    if !self.back()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn push(&mut self, value: Value) {
        let under = std::mem::replace(&mut self.top, self.values.len() as u32);
        self.values.push(Node { value, under });
    }

    fn pop(&mut self) -> Value {
        let top = self.top;
        if top >= self.values_floor
            && let Some(node) = self.values.pop()
        {
            self.top = node.under;
            return node.value;
        }
        let node = &self.values[top as usize];
        self.top = node.under;
        node.value.clone()
    }

    fn peek(&self) -> &Value {
        &self.values[self.top as usize].value
    }

    /// Replaces the top.
    fn put(&mut self, value: Value) {
        if self.top >= self.values_floor {
            self.values[self.top as usize].value = value;
        } else {
            self.drop_top();
            self.push(value);
        }
    }

    fn drop_top(&mut self) {
        let top = self.top;
        self.top = self.values[top as usize].under;
        if top >= self.values_floor {
            self.values.pop();
        }
    }

    fn local(&mut self, slot: Slot) -> &mut Value {
        let frame = self.frame_at(slot.level);
        let place = self.frames[frame as usize].locals + u32::from(slot.index);
        &mut self.locals[place as usize]
    }

    fn frame_at(&self, level: u16) -> u32 {
        (0..level).fold(self.frame, |frame, _| self.frames[frame as usize].outer)
    }

    fn constant(&self, number: u32) -> &'p Value {
        &self.program.constants[number as usize]
    }

    #[expect(clippy::too_many_lines, reason = "a table of instructions")]
    #[inline]
    fn step(&mut self, op: Op) -> Done {
        match op {
            Op::Constant(number) => self.put(self.constant(number).clone()),
            Op::Under(number) => {
                let top = self.pop();
                self.push(self.constant(number).clone());
                self.push(top);
            }
            Op::Argument(number) => {
                let value = (self.run.cx.variables)(number as usize).into_owned();
                self.put(value);
            }
            Op::Dup => {
                // Both are new: what a fork keeps is not one of them.
                if self.top < self.values_floor {
                    let value = self.pop();
                    self.push(value);
                }
                self.push(self.peek().clone());
            }
            Op::DupLast => {
                let value = std::mem::take(&mut self.values[self.top as usize].value);
                self.drop_top();
                self.push(value.clone());
                self.push(value);
            }
            Op::Pop => self.drop_top(),
            Op::Over => {
                let top = self.pop();
                let under = self.peek().clone();
                self.push(top);
                self.push(under);
            }
            Op::Enter => {
                self.push(self.peek().clone());
                self.aside += 1;
            }
            Op::Leave => {
                self.aside -= 1;
                let top = self.pop();
                let under = self.pop();
                self.push(top);
                self.push(under);
            }
            Op::Load(slot) => {
                let value = self.local(slot).clone();
                self.put(value);
            }
            Op::Take(slot) => {
                let value = std::mem::take(self.local(slot));
                self.put(value);
            }
            Op::Store(slot) => {
                let value = self.pop();
                *self.local(slot) = value;
            }
            Op::StoreUnder(slot) => {
                let top = self.pop();
                let value = self.pop();
                *self.local(slot) = value;
                self.push(top);
            }
            Op::StoreForNow(slot) => {
                self.fork(self.at - 1)?;
                let value = self.pop();
                *self.local(slot) = value;
            }
            Op::Index(optional) => {
                let value = self.pop();
                let key = self.pop();
                return self.index(value, &key, optional);
            }
            Op::Field(number, optional) => {
                let value = self.pop();
                return self.index(value, self.constant(number), optional);
            }
            Op::Each(optional) => return self.each(optional),
            Op::Fork(_) | Op::Try(_) | Op::TryEnd | Op::Alternative(_) => self.fork(self.at - 1)?,
            Op::Jump(target) => self.at = target,
            Op::JumpUnless(target) => {
                if !self.peek().is_truthy() {
                    self.at = target;
                }
            }
            Op::Branch(target) => {
                let top = self.pop();
                if !self.pop().is_truthy() {
                    self.at = target;
                }
                self.push(top);
            }
            Op::Backtrack => return Ok(Next::Back),
            Op::Append(slot) => {
                self.run.allocate(2 * size_of::<Value>())?;
                let value = self.pop();
                if let Value::Array(list) = self.local(slot) {
                    list.push(value);
                }
            }
            Op::Insert => self.insert()?,
            Op::Range(slot) => return self.range(slot, self.at - 1),
            Op::PathStart => self.path_start()?,
            Op::PathEnd => self.path_end()?,
            Op::GetPath => self.get_path()?,
            Op::Operator(operator) => {
                self.drop_top();
                let left = self.pop();
                let right = self.pop();
                let value = arithmetic::apply(&mut self.run, operator, left, right)?;
                self.push(value);
            }
            Op::Truth => {
                let truth = self.peek().is_truthy();
                self.put(Value::Bool(truth));
            }
            Op::Native(native) => {
                let input = self.pop();
                let mut arguments = [const { Value::Null }; 3];
                for argument in &mut arguments[..native.arity] {
                    *argument = self.pop();
                }
                let value = (native.call)(&mut self.run, input, &mut arguments[..native.arity])?;
                self.push(value);
            }
            Op::Concat(count) => {
                self.drop_top();
                let mut text = ecow::EcoString::new();
                for _ in 0..count {
                    if let Value::String(part) = self.pop() {
                        self.run.allocate(part.len())?;
                        text.push_str(&part);
                    }
                }
                self.push(Value::String(text));
            }
            Op::Call(start, count) => {
                let back = self.at;
                self.call(start, count, back, self.frame)?;
            }
            Op::TailCall(start, count) => self.tail_call(start, count)?,
            Op::Return => return self.return_(),
            Op::Label(slot) => {
                *self.local(slot) = Value::Int(self.labels);
                self.labels += 1;
            }
            Op::Break(slot) => return Err(Stop::Break(self.local(slot).as_i64().unwrap_or(-1))),
            Op::CatchBreak(slot) => {
                let error = self.pop();
                let label = self.local(slot).as_i64().unwrap_or(-1);
                return if error == broken(label) { Ok(Next::Back) } else { Err(Stop::Error(error)) };
            }
            Op::LookUp(slot) => {
                let path = self.peek().clone();
                let whole = self.local(slot).clone();
                let value = paths::get(&mut self.run, &whole, &path)?;
                self.push(value);
            }
            Op::PutPath(slot) => {
                let value = self.pop();
                let path = self.pop();
                let whole = std::mem::take(self.local(slot));
                let whole = paths::set(&mut self.run, whole, &path, value)?;
                *self.local(slot) = whole;
            }
            Op::Mark(slot) => *self.local(slot) = Value::from(self.forks.len()),
            Op::Cut(slot) => {
                let mark = self.local(slot).as_i64().unwrap_or(0) as usize;
                self.forks.truncate(mark);
                self.floors();
            }
        }
        Ok(Next::On)
    }

    fn range(&mut self, slot: Slot, at: Target) -> Done {
        let to = self.pop();
        let current = self.local(slot).clone();
        let (Some(from), Some(end)) = (current.as_f64(), to.as_f64()) else {
            return Err(Stop::error("Range bounds must be numeric"));
        };
        if from >= end {
            return Ok(Next::Back);
        }
        *self.local(slot) = arithmetic::sum(from, 1.0);
        let top = self.top;
        self.push(to);
        self.fork(at)?;
        self.top = top;
        self.push(current);
        Ok(Next::On)
    }

    fn insert(&mut self) -> Result<(), Stop> {
        let top = self.pop();
        let value = self.pop();
        let key = self.pop();
        let object = self.pop();
        let (Value::Object(mut map), Value::String(key)) = (object, &key) else {
            return Err(Stop::error(format!("Cannot use {} as object key", typed(&key))));
        };
        self.run.allocate(3 * size_of::<Value>())?;
        map.insert(key.clone(), value);
        self.push(Value::Object(map));
        self.push(top);
        Ok(())
    }
}
