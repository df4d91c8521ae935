//! Forks, and the way back to them.

use super::{Fork, Machine, Next, before};
use crate::expression::errors::Stop;
use crate::expression::program::{Op, Target};
use crate::value::Value;

impl Machine<'_, '_> {
    /// From here the way back leads to `at`.
    pub(super) fn fork(&mut self, at: Target) -> Result<(), Stop> {
        if self.forks.len() >= self.run.cx.limits.depth_max as usize {
            return Err(Stop::Limit("depth"));
        }
        self.values_floor = self.values.len() as u32;
        self.frames_floor = self.frames.len() as u32;
        self.forks.push(Fork {
            at,
            top: self.top,
            frame: self.frame,
            values: self.values_floor,
            frames: self.frames_floor,
            locals: self.locals.len() as u32,
            parameters: self.parameters.len() as u32,
            path_len: self.path.as_ref().map_or(0, |path| path.len() as u32),
            aside: self.aside,
            place: if self.path.is_some() { self.place.clone() } else { Value::Null },
        });
        Ok(())
    }

    /// Everything as it was at the last fork, which is gone then.
    pub(super) fn restore(&mut self) -> Option<Target> {
        let fork = self.forks.pop()?;
        self.values.truncate(fork.values as usize);
        self.frames.truncate(fork.frames as usize);
        self.locals.truncate(fork.locals as usize);
        self.parameters.truncate(fork.parameters as usize);
        self.top = fork.top;
        self.frame = fork.frame;
        self.aside = fork.aside;
        if let Some(path) = &mut self.path {
            path.truncate(fork.path_len as usize);
        }
        self.place = fork.place;
        self.floors();
        Some(fork.at)
    }

    pub(super) fn floors(&mut self) {
        let (values, frames) = self.forks.last().map_or((0, 0), |fork| (fork.values, fork.frames));
        self.values_floor = values;
        self.frames_floor = frames;
    }

    /// Goes back to where there may be a further output, or to where an error is caught; whether there is such a place.
    pub(super) fn back(&mut self) -> Result<bool, Stop> {
        loop {
            self.run.charge(1)?;
            let Some(at) = self.restore() else {
                return match self.raised.take() {
                    Some(stop) => Err(stop),
                    None => Ok(false),
                };
            };
            let op = self.program.code[at as usize];
            self.at = at + 1;
            if self.resume(op)? {
                return Ok(true);
            }
        }
    }

    /// Back at an instruction that forked; whether to go on from there.
    pub(super) fn resume(&mut self, op: Op) -> Result<bool, Stop> {
        let failed = self.raised.is_some();
        match op {
            Op::Fork(target) if !failed => self.at = target,
            Op::Alternative(target) if failed => {
                self.raised = None;
                self.at = target;
            }
            Op::Try(target) if failed => {
                if self.wraps > 0 {
                    self.wraps -= 1;
                    return Ok(false);
                }
                let Some(stop) = self.raised.take() else { return Ok(false) };
                let value = stop.caught()?;
                self.put(value);
                self.at = target;
            }
            Op::TryEnd if failed => {
                self.wraps += 1;
                return Ok(false);
            }
            Op::StoreForNow(slot) => {
                *self.local(slot) = Value::Null;
                return Ok(false);
            }
            Op::PathStart | Op::PathEnd => {
                let path = self.pop();
                self.path = before(&path);
                return Ok(false);
            }
            Op::Range(slot) if !failed => {
                let at = self.at - 1;
                return Ok(matches!(self.range(slot, at)?, Next::On));
            }
            Op::Each(_) if !failed => {
                let place = self.pop();
                let container = self.pop();
                let next = place.as_i64().unwrap_or(0) as usize + 1;
                let at = self.at - 1;
                return Ok(matches!(self.element(container, next, at)?, Next::On));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
