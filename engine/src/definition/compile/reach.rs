//! Tasks that nothing leads to.

use super::Compiler;
use crate::definition::document::Entry;
use crate::plan::{Flow, Task, TaskKind};

impl Compiler<'_> {
    /// Warns of tasks of a sequential list that can't be reached from its first.
    pub(super) fn warn_unreachable(&mut self, entries: &[&Entry], list: crate::plan::ListIx) {
        let tasks = self.lists[list.0 as usize].tasks.clone();
        if tasks.len() != entries.len() || tasks.is_empty() {
            return;
        }
        let mut reached = vec![false; tasks.len()];
        let mut open = vec![0usize];
        while let Some(at) = open.pop() {
            if at >= reached.len() || std::mem::replace(&mut reached[at], true) {
                continue;
            }
            for flow in ways_on(&self.tasks[tasks[at].0 as usize]) {
                match flow {
                    Flow::Continue => open.push(at + 1),
                    Flow::Goto(to) => open.push(to as usize),
                    Flow::Exit | Flow::End => {}
                }
            }
        }
        for (entry, _) in entries.iter().zip(&reached).filter(|(_, reached)| !**reached) {
            let message = format!("the task \"{}\" is never reached", entry.key);
            self.warning("TRN0801", entry.key_span, message, "no task before it continues or jumps to it");
        }
    }
}

/// Where a task may lead.
fn ways_on(task: &Task) -> Vec<Flow> {
    let mut ways = Vec::new();
    let mut own_directive = true;
    match &task.kind {
        TaskKind::Switch(cases) => {
            ways.extend(cases.iter().map(|c| c.then));
            own_directive = !cases.iter().any(|c| c.when.is_none());
        }
        TaskKind::Try { catch, .. } => ways.extend(catch.then),
        TaskKind::Raise(_) => own_directive = false,
        _ => {}
    }
    if own_directive {
        ways.push(task.then);
    }
    if task.condition.is_some() {
        ways.push(Flow::Continue);
    }
    ways
}
