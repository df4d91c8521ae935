//! `schedule`.

use croner::parser::{CronParser, Seconds};

use super::{Compiler, Scope};
use crate::definition::document::Node;
use crate::plan::Schedule;

const KINDS: [&str; 4] = ["every", "cron", "after", "on"];

impl Compiler<'_> {
    /// `schedule`: one way to be started.
    pub(super) fn schedule(&mut self, node: &Node, scope: &Scope) -> Option<Schedule> {
        if !self.map(node, "`schedule`", &["every", "cron", "after", "on", "read"]) {
            return None;
        }
        let read = node.get("read");
        if let Some(read) = read
            && node.get("on").is_none()
        {
            self.error("TRN0210", read.name, "`schedule.read` goes with `schedule.on` only");
        }
        let kind = self.exactly_one(node, "`schedule`", &KINDS)?;
        match &*kind.key {
            "every" => {
                let span = self.constant_duration(&kind.value, "`schedule.every`")?;
                if span.nominal_micros() == 0 {
                    self.error("TRN0503", kind.value.span, "`schedule.every` must be longer than nothing");
                    return None;
                }
                Some(Schedule::Every(span))
            }
            "after" => self.constant_duration(&kind.value, "`schedule.after`").map(Schedule::After),
            "cron" => self.cron(&kind.value),
            _ => {
                let strategy = self.strategy(&kind.value, "`schedule.on`", true, scope)?;
                Some(Schedule::On { strategy, read: self.event_read(read) })
            }
        }
    }

    fn cron(&mut self, node: &Node) -> Option<Schedule> {
        let text = self.string(node, "`schedule.cron`")?;
        match CronParser::builder().seconds(Seconds::Disallowed).build().parse(text) {
            Ok(_) => Some(Schedule::Cron(text.into())),
            Err(error) => {
                let hint = "five fields: minute hour day month weekday, such as 0 9 * * 1-5";
                self.error_with("TRN0504", node.span, format!("not a cron expression: {error}"), hint);
                None
            }
        }
    }
}
