//! `try`, `catch` and retry policies.

use ecow::EcoString;

use super::flow::Siblings;
use super::{Compiler, Scope};
use crate::definition::document::{Kind, Node};
use crate::plan::{Backoff, Catch, ErrorFilter, RetryPolicy, TaskKind};

const CATCH: [&str; 7] = ["errors", "as", "when", "exceptWhen", "retry", "do", "then"];
const RETRY: [&str; 6] = ["when", "exceptWhen", "delay", "backoff", "limit", "jitter"];

impl<'a> Compiler<'a> {
    /// `try` with its `catch`.
    pub(super) fn try_catch(
        &mut self,
        task: &Node,
        node: &Node,
        reference: &str,
        siblings: &Siblings<'_>,
        scope: &Scope,
    ) -> Option<TaskKind> {
        let body = self.task_list(node, &format!("{reference}/try"), "`try`", scope);
        let catch = self.required(task, "catch", "the try task")?;
        let catch = self.catch(catch, reference, siblings, scope)?;
        Some(TaskKind::Try { body, catch })
    }

    fn catch(&mut self, node: &Node, reference: &str, siblings: &Siblings<'_>, scope: &Scope) -> Option<Catch> {
        if !self.map(node, "`catch`", &CATCH) {
            return None;
        }
        let variable = self.variable(node.get("as"), "error");
        let inner = scope.with(std::slice::from_ref(&variable));
        let filter = node.get("errors").map(|n| self.error_filter(n)).unwrap_or_default();
        let when = node.get("when").and_then(|n| self.expression(n, "`when`", &inner));
        let except_when = node.get("exceptWhen").and_then(|n| self.expression(n, "`exceptWhen`", &inner));
        let retry = node.get("retry").and_then(|n| self.retry(n, &inner));
        let handler = node.get("do").map(|n| self.task_list(n, &format!("{reference}/catch/do"), "`catch.do`", &inner));
        let then = node.get("then").and_then(|n| self.flow(n, siblings));
        Some(Catch { filter, variable, when, except_when, retry, handler, then })
    }

    /// `errors: {with: …}`.
    fn error_filter(&mut self, node: &Node) -> ErrorFilter {
        let mut filter = ErrorFilter::default();
        if !self.map(node, "`catch.errors`", &["with"]) {
            return filter;
        }
        let Some(with) = self.required(node, "with", "`catch.errors`") else { return filter };
        if !self.map(with, "`errors.with`", &["type", "status", "title", "detail", "details", "instance"]) {
            return filter;
        }
        filter.error_type = self.filter_text(with, "type");
        filter.title = self.filter_text(with, "title");
        filter.instance = self.filter_text(with, "instance");
        filter.detail = self.filter_text(with, "detail");
        if let Some(details) = with.get("details") {
            self.warning("TRN0804", details.name, "`details` is the name of old versions", "write `detail`");
            filter.detail = filter.detail.or_else(|| self.filter_text(with, "details"));
        }
        let status = with.get("status").and_then(|n| self.integer(n, "`status`", 100, 599));
        filter.status = status.and_then(|s| u16::try_from(s).ok());
        filter
    }

    fn filter_text(&mut self, with: &Node, key: &str) -> Option<EcoString> {
        let node = with.get(key)?;
        let text = self.string(node, &format!("`{key}`"))?;
        if crate::expression::strip_wrapper(text).is_some() {
            let hint = "the filter is static; put the condition in `catch.when`";
            self.error_with("TRN0402", node.span, "an expression can't stand here", hint);
            return None;
        }
        Some(text.into())
    }

    /// `retry`: a policy or the name of one.
    fn retry(&mut self, node: &Node, scope: &Scope) -> Option<RetryPolicy> {
        let uses = self.uses.clone();
        let policy = match &node.kind {
            Kind::String(name, _) => self.used(&uses.retries, "retries", "retry policy", name, node.span)?,
            _ => node,
        };
        self.retry_policy(policy, scope)
    }

    /// A retry policy. Its expressions see the error.
    pub(super) fn retry_policy(&mut self, node: &Node, scope: &Scope) -> Option<RetryPolicy> {
        if !self.map(node, "`retry`", &RETRY) {
            return None;
        }
        let when = node.get("when").and_then(|n| self.expression(n, "`retry.when`", scope));
        let except_when = node.get("exceptWhen").and_then(|n| self.expression(n, "`retry.exceptWhen`", scope));
        let delay = node.get("delay").and_then(|n| self.duration(n, "`delay`", scope));
        let backoff = node.get("backoff").and_then(|n| self.backoff(n)).unwrap_or(Backoff::Constant);
        let mut policy = RetryPolicy {
            when,
            except_when,
            delay,
            backoff,
            jitter: None,
            attempts_max: None,
            attempt_duration: None,
            duration: None,
        };
        if let Some(jitter) = node.get("jitter")
            && self.map(jitter, "`jitter`", &["from", "to"])
        {
            let from = self.required(jitter, "from", "`jitter`").and_then(|n| self.duration(n, "`jitter.from`", scope));
            let to = self.required(jitter, "to", "`jitter`").and_then(|n| self.duration(n, "`jitter.to`", scope));
            policy.jitter = from.zip(to);
        }
        if let Some(limit) = node.get("limit")
            && self.map(limit, "`limit`", &["attempt", "duration"])
        {
            policy.duration = limit.get("duration").and_then(|n| self.duration(n, "`limit.duration`", scope));
            if let Some(attempt) = limit.get("attempt")
                && self.map(attempt, "`limit.attempt`", &["count", "duration"])
            {
                let most = i64::from(u32::MAX);
                let count = attempt.get("count").and_then(|n| self.integer(n, "`count`", 0, most));
                policy.attempts_max = count.and_then(|c| u32::try_from(c).ok());
                policy.attempt_duration =
                    attempt.get("duration").and_then(|n| self.duration(n, "`limit.attempt.duration`", scope));
            }
        }
        Some(policy)
    }

    fn backoff(&mut self, node: &Node) -> Option<Backoff> {
        const KINDS: [&str; 3] = ["constant", "linear", "exponential"];
        if !self.map(node, "`backoff`", &KINDS) {
            return None;
        }
        let kind = self.exactly_one(node, "`backoff`", &KINDS)?;
        self.map(&kind.value, &format!("`{}`", kind.key), &[]);
        match &*kind.key {
            "linear" => Some(Backoff::Linear),
            "exponential" => Some(Backoff::Exponential),
            _ => Some(Backoff::Constant),
        }
    }
}
