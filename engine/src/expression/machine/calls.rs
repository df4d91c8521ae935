//! Calls of functions, and the way back from them.

use super::{Called, Done, Frame, Machine, NONE, Next};
use crate::expression::errors::Stop;
use crate::expression::program::{Closure, Target};
use crate::value::Value;

impl Machine<'_, '_> {
    pub(super) fn closure(&self, closure: Closure) -> Called {
        match closure {
            Closure::New { function, level } => Called { function, outer: self.frame_at(level) },
            Closure::Global { function } => Called { function, outer: NONE },
            Closure::Parameter { level, index } => {
                let frame = &self.frames[self.frame_at(level) as usize];
                self.parameters[(frame.parameters + u32::from(index)) as usize]
            }
        }
    }

    pub(super) fn call(&mut self, start: u32, count: u16, back: Target, caller: u32) -> Result<(), Stop> {
        if self.frames.len() >= self.run.cx.limits.depth_max as usize {
            return Err(Stop::Limit("depth"));
        }
        let program = self.program;
        let start = start as usize;
        let called = self.closure(program.closures[start]);
        let function = program.functions[called.function as usize];
        let parameters = self.parameters.len() as u32;
        for closure in &program.closures[start + 1..=start + usize::from(count)] {
            let closure = self.closure(*closure);
            self.parameters.push(closure);
        }
        let locals = self.locals.len();
        self.locals.resize(locals + usize::from(function.locals), Value::Null);
        let frame = Frame { back, caller, outer: called.outer, locals: locals as u32, parameters };
        self.frame = self.frames.len() as u32;
        self.frames.push(frame);
        self.at = function.entry;
        Ok(())
    }

    /// A call whose result is that of the current function, whose frame goes unless a fork needs it.
    pub(super) fn tail_call(&mut self, start: u32, count: u16) -> Result<(), Stop> {
        let program = self.program;
        let closures = &program.closures[start as usize..=start as usize + usize::from(count)];
        let mut called = [Called { function: 0, outer: NONE }; 8];
        let (back, caller) = {
            let frame = &self.frames[self.frame as usize];
            (frame.back, frame.caller)
        };
        if closures.len() > called.len() || !self.is_last_frame() {
            return self.call(start, count, back, caller);
        }
        for (called, closure) in called.iter_mut().zip(closures) {
            *called = self.closure(*closure);
        }
        self.pop_frame();
        let function = program.functions[called[0].function as usize];
        let (locals, parameters) = (self.locals.len(), self.parameters.len());
        self.parameters.extend_from_slice(&called[1..closures.len()]);
        self.locals.resize(locals + usize::from(function.locals), Value::Null);
        let (locals, parameters) = (locals as u32, parameters as u32);
        self.frame = self.frames.len() as u32;
        self.frames.push(Frame { back, caller, outer: called[0].outer, locals, parameters });
        self.at = function.entry;
        Ok(())
    }

    pub(super) const fn is_last_frame(&self) -> bool {
        self.frame >= self.frames_floor && self.frame as usize + 1 == self.frames.len()
    }

    pub(super) fn pop_frame(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.locals.truncate(frame.locals as usize);
            self.parameters.truncate(frame.parameters as usize);
        }
    }

    pub(super) fn return_(&mut self) -> Done {
        let frame = &self.frames[self.frame as usize];
        let (back, caller) = (frame.back, frame.caller);
        if back == NONE {
            let value = self.pop();
            self.push(Value::Null);
            self.fork(self.at - 1)?;
            return Ok(Next::Output(value));
        }
        if self.is_last_frame() {
            self.pop_frame();
        }
        self.frame = caller;
        self.at = back;
        Ok(Next::On)
    }
}
