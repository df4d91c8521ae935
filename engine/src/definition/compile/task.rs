//! Task lists, and what all tasks have in common.

use ecow::EcoString;

use super::flow::{DIRECTIVES, Siblings};
use super::{Compiler, DEPTH_MAX, Scope, TASKS_MAX};
use crate::definition::document::{Entry, Node, escape};
use crate::definition::source::Span;
use crate::definition::suggest::nearest;
use crate::ids::TaskIx;
use crate::plan::{ListIx, Task, TaskKind, TaskList};

/// Keys that every task may have.
const COMMON: [&str; 7] = ["if", "input", "output", "export", "timeout", "then", "metadata"];

/// The key that says what a task does, and the keys that go with it.
const KINDS: [(&str, &[&str]); 12] = [
    ("call", &["with"]),
    ("do", &[]),
    ("emit", &[]),
    ("for", &["do", "while"]),
    ("fork", &[]),
    ("listen", &["foreach"]),
    ("raise", &[]),
    ("run", &[]),
    ("set", &[]),
    ("switch", &[]),
    ("try", &["catch"]),
    ("wait", &[]),
];

/// Where a task is.
pub(super) struct Seat<'n> {
    pub siblings: &'n Siblings<'n>,
    pub list: ListIx,
    pub position: u32,
}

impl Compiler<'_> {
    /// A task list at the JSON Pointer `pointer`, run one after the other.
    pub(super) fn task_list(&mut self, node: &Node, pointer: &str, what: &str, scope: &Scope) -> ListIx {
        self.tasks_of(node, pointer, what, scope, None)
    }

    /// A task list; `closed` says why its tasks can't name each other in directives, if they can't.
    pub(super) fn tasks_of(
        &mut self,
        node: &Node,
        pointer: &str,
        what: &str,
        scope: &Scope,
        closed: Option<&'static str>,
    ) -> ListIx {
        let list = self.new_list();
        let Some(items) = self.list(node, what) else { return list };
        let entries: Vec<Option<&Entry>> =
            items.iter().map(|item| self.single(item, "an item of a task list")).collect();
        let names = entries.iter().flatten().map(|e| e.key.as_str()).collect();
        let siblings = Siblings { names, closed };
        self.check_names(&entries);
        for (index, entry) in entries.iter().enumerate() {
            let Some(entry) = entry else { continue };
            let reference = format!("{pointer}/{index}/{}", escape(&entry.key));
            let seat = Seat { siblings: &siblings, list, position: u32::try_from(index).unwrap_or(u32::MAX) };
            self.task(&entry.key, &entry.value, reference.into(), &seat, scope);
        }
        if closed.is_none() {
            let all: Vec<&Entry> = entries.into_iter().flatten().collect();
            self.warn_unreachable(&all, list);
        }
        list
    }

    pub(super) fn new_list(&mut self) -> ListIx {
        let list = ListIx(u32::try_from(self.lists.len()).unwrap_or(u32::MAX));
        self.lists.push(TaskList::default());
        list
    }

    fn check_names(&mut self, entries: &[Option<&Entry>]) {
        let mut seen: std::collections::BTreeMap<&str, Span> = std::collections::BTreeMap::new();
        for entry in entries.iter().flatten() {
            if DIRECTIVES.contains(&entry.key.as_str()) {
                let message = format!("a task can't be named \"{}\": that is a flow directive", entry.key);
                self.error("TRN0207", entry.key_span, message);
            }
            if entry.key.is_empty() {
                self.error("TRN0207", entry.key_span, "a task needs a name");
            }
            let Some(first) = seen.insert(&entry.key, entry.key_span) else { continue };
            let place = self.source.place(first);
            let message = format!("another task \"{}\" in the same list", entry.key);
            self.error_with("TRN0206", entry.key_span, message, "names are how directives find tasks: rename one");
            if let Some(finding) = self.findings.last_mut() {
                finding.related.push(crate::definition::Related { message: "first used here".into(), place });
            }
        }
    }

    /// Compiles a task and puts it in its list.
    pub(super) fn task(&mut self, name: &EcoString, node: &Node, reference: EcoString, seat: &Seat<'_>, scope: &Scope) {
        if self.tasks.len() >= TASKS_MAX {
            if !std::mem::replace(&mut self.too_many_tasks, true) {
                let message = format!("more than {TASKS_MAX} tasks, function bodies counted at each call");
                self.error("TRN0211", node.name, message);
            }
            return;
        }
        if self.depth >= DEPTH_MAX {
            self.error("TRN0211", node.name, format!("tasks within tasks, more than {DEPTH_MAX} deep"));
            return;
        }
        self.depth += 1;
        self.task_within(name, node, reference, seat, scope);
        self.depth -= 1;
    }

    fn task_within(&mut self, name: &EcoString, node: &Node, reference: EcoString, seat: &Seat<'_>, scope: &Scope) {
        let Some(kind) = self.kind_key(node) else { return };
        let what = format!("the {kind} task");
        let condition = node.get("if").and_then(|n| self.expression(n, "`if`", scope));
        let input = self.data_in(node.get("input"), "input", scope);
        let output = self.data_out(node.get("output"), "output", scope);
        let export = self.data_out(node.get("export"), "export", scope);
        let timeout = node.get("timeout").and_then(|n| self.timeout(n, scope));
        let then = self.then(node.get("then"), seat.siblings);
        self.free_map(node.get("metadata"), "`metadata`");
        let Some(kind) = self.kind(kind, node, &reference, seat.siblings, scope, &what) else { return };
        let ix = TaskIx(u32::try_from(self.tasks.len()).unwrap_or(u32::MAX));
        self.tasks.push(Task {
            name: name.clone(),
            reference,
            list: seat.list,
            position: seat.position,
            definition: node.to_value(),
            scope: scope.names.clone(),
            condition,
            input_schema: input.schema,
            input_from: input.transformation,
            output_as: output.transformation,
            output_schema: output.schema,
            export_as: export.transformation,
            export_schema: export.schema,
            timeout,
            then,
            kind,
        });
        self.lists[seat.list.0 as usize].tasks.push(ix);
    }

    /// The one key that says what the task does; other keys are checked.
    fn kind_key(&mut self, node: &Node) -> Option<&'static str> {
        if !self.is_map(node, "a task") {
            return None;
        }
        let loop_body = node.get("for").is_some();
        let is_kind = |key: &str| KINDS.iter().find(|(k, _)| *k == key && !(loop_body && key == "do"));
        let mut kinds = node.entries().iter().filter_map(|e| Some((e, is_kind(&e.key)?)));
        let Some((first, (kind, with_it))) = kinds.next() else {
            self.no_kind(node);
            return None;
        };
        if let Some((second, _)) = kinds.next() {
            let message =
                format!("a task does one thing: it is \"{}\" already, \"{}\" is another", first.key, second.key);
            self.error_with("TRN0204", second.key_span, message, "make it a task of its own");
            return None;
        }
        let known: Vec<&str> = [*kind].into_iter().chain(with_it.iter().copied()).chain(COMMON).collect();
        self.map(node, &format!("the {kind} task"), &known);
        Some(kind)
    }

    fn no_kind(&mut self, node: &Node) {
        let kinds = KINDS.map(|(kind, _)| kind);
        let slip = node.entries().iter().filter(|e| !COMMON.contains(&e.key.as_str())).find_map(|e| {
            let near = nearest(&e.key, kinds.into_iter().chain(COMMON))?;
            Some((e, near))
        });
        match slip {
            Some((entry, near)) => {
                let message = format!("unknown key \"{}\" in a task", entry.key);
                self.error_with("TRN0201", entry.key_span, message, format!("did you mean \"{near}\"?"));
            }
            None => {
                let hint = format!("give it one of: {}", kinds.join(", "));
                self.error_with("TRN0204", node.name, "the task does not say what to do", hint);
            }
        }
    }

    fn kind(
        &mut self,
        kind: &str,
        node: &Node,
        reference: &str,
        siblings: &Siblings<'_>,
        scope: &Scope,
        what: &str,
    ) -> Option<TaskKind> {
        let value = node.get(kind)?;
        match kind {
            "call" => self.call(node, value, scope),
            "do" => Some(TaskKind::Do(self.task_list(value, &format!("{reference}/do"), "`do`", scope))),
            "emit" => self.emit(value, scope),
            "for" => self.for_each(node, value, reference, scope),
            "fork" => self.fork(value, reference, scope),
            "listen" => self.listen(node, value, reference, scope),
            "raise" => self.raise(value, scope),
            "run" => self.run(value, scope),
            "set" => self.set(value, scope),
            "switch" => self.switch(value, siblings, scope),
            "try" => self.try_catch(node, value, reference, siblings, scope),
            "wait" => self.duration(value, "`wait`", scope).map(TaskKind::Wait),
            _ => {
                self.error("TRN0204", node.name, format!("{what} is unknown"));
                None
            }
        }
    }
}
