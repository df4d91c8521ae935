//! A history as people read it: a line per fact, with the time since the first.

use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;

use super::table::{VALUE_WIDTH, printable, short, span, text};

/// Width of a task's pointer before longer ones push the rest aside.
const TASK_WIDTH: usize = 24;

/// Turns facts into lines, as they come.
#[derive(Default)]
pub struct Timeline {
    /// The time of the first fact.
    begin: Option<Timestamp>,
    /// The width of the widest task so far.
    task_width: usize,
}

impl Timeline {
    /// The lines of facts, each ended.
    pub fn lines(&mut self, facts: &[Value]) -> String {
        let widest = facts.iter().map(|fact| text(fact, "/task").chars().count()).max();
        self.task_width = self.task_width.max(widest.unwrap_or(0)).max(TASK_WIDTH);
        facts.iter().map(|fact| self.line(fact) + "\n").collect()
    }

    fn line(&mut self, fact: &Value) -> String {
        let offset = match Timestamp::parse_rfc3339(&text(fact, "/time")) {
            Some(time) => {
                let begin = *self.begin.get_or_insert(time);
                format!("+{}", span(time.micros_since(begin) as f64 / 1_000.0))
            }
            None => String::new(),
        };
        let (task, kind, width) = (text(fact, "/task"), text(fact, "/type"), self.task_width);
        let line = format!("{offset:>10}  {task:<width$}  {kind:<9}  {}", detail(&kind, fact));
        printable(line.trim_end())
    }
}

/// What a fact tells beside its type.
fn detail(kind: &str, fact: &Value) -> String {
    let member = |key: &str| fact.pointer(&format!("/data/{key}")).filter(|value| !matches!(value, Value::Null));
    match kind {
        "created" => {
            let input = member("input").map(|input| short(input, VALUE_WIDTH)).unwrap_or_default();
            format!("by {} {input}", trigger(fact.pointer("/data/trigger").unwrap_or(&Value::Null)))
        }
        "started" => member("iteration").map(|index| format!("iteration {}", index.to_json())).unwrap_or_default(),
        "completed" => member("output").map(|output| short(output, VALUE_WIDTH)).unwrap_or_default(),
        "faulted" => member("error").map(error).unwrap_or_default(),
        "retried" => {
            let reason = member("error").map(|value| format!(" after {}", error(value))).unwrap_or_default();
            format!("retry {} at {}{reason}", text(fact, "/data/attempt"), text(fact, "/data/at"))
        }
        "waiting" => match member("until") {
            Some(until) => format!("until {}", until.as_str().unwrap_or_default()),
            None => "for events".to_owned(),
        },
        _ => match fact.get("data") {
            Some(Value::Object(data)) if !data.is_empty() => short(&Value::Object(data.clone()), VALUE_WIDTH),
            _ => String::new(),
        },
    }
}

/// What started an execution.
pub fn trigger(trigger: &Value) -> String {
    let mut shown = text(trigger, "/kind");
    for (word, pointer) in [("", "/eventId"), ("from ", "/source")] {
        let value = text(trigger, pointer);
        if !value.is_empty() {
            shown = format!("{shown} {word}{value}");
        }
    }
    shown
}

/// An error in a line: the end of its type, its status, what happened and where.
pub fn error(error: &Value) -> String {
    let kind = text(error, "/type");
    let name = kind.rsplit('/').next().unwrap_or(&kind);
    let detail = [text(error, "/detail"), text(error, "/title")].into_iter().find(|text| !text.is_empty());
    let mut shown = match text(error, "/status") {
        status if status.is_empty() => name.to_owned(),
        status => format!("{name} ({status})"),
    };
    if let Some(detail) = detail {
        shown = format!("{shown}: {detail}");
    }
    match text(error, "/instance") {
        place if place.is_empty() => shown,
        place => format!("{shown}, at {place}"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use trinity_engine::value::ParseLimits;

    use super::*;

    #[test]
    fn facts_become_lines() {
        let facts = r#"[
            {"seq": 0, "time": "2026-11-24T04:00:00.000Z", "task": "/", "type": "created",
             "data": {"input": {"temperature": 95}, "trigger": {"kind": "event", "eventId": "17", "source": "/plant"}}},
            {"seq": 1, "time": "2026-11-24T04:00:00.001Z", "task": "/do/0/convert", "type": "started", "data": {"iteration": 2}},
            {"seq": 2, "time": "2026-11-24T04:00:00.012Z", "task": "/do/0/convert", "type": "completed", "data": {"output": {"celsius": 35}}},
            {"seq": 3, "time": "2026-11-24T04:00:01.500Z", "task": "/do/1/call", "type": "retried",
             "data": {"attempt": 1, "at": "2026-11-24T04:00:03.000Z", "error": {"type": "https://x/errors/communication", "status": 503}}},
            {"seq": 4, "time": "2026-11-24T04:00:03.000Z", "task": "/do/2/pause", "type": "waiting", "data": {"until": "2026-11-24T05:00:00.000Z"}},
            {"seq": 5, "time": "2026-11-24T04:00:03.000Z", "task": "/do/3/listen", "type": "waiting", "data": {}},
            {"seq": 6, "time": "2026-11-24T05:01:00.000Z", "task": "/do/4/odd", "type": "skipped", "data": {}},
            {"seq": 7, "time": "2026-11-24T05:01:00.000Z", "task": "/", "type": "faulted",
             "data": {"error": {"type": "https://x/errors/timeout", "status": 408, "title": "Timeout", "detail": "too\nlate", "instance": "/do/1/call"}}}
        ]"#;
        let facts = Value::parse(facts.as_bytes(), &ParseLimits::default()).expect("JSON");
        let facts = facts.as_array().expect("a list");
        expect![[r#"
                 +0 ms  /                         created    by event 17 from /plant {"temperature":95}
                 +1 ms  /do/0/convert             started    iteration 2
                +12 ms  /do/0/convert             completed  {"celsius":35}
                +1.5 s  /do/1/call                retried    retry 1 at 2026-11-24T04:00:03.000Z after communication (503)
                  +3 s  /do/2/pause               waiting    until 2026-11-24T05:00:00.000Z
                  +3 s  /do/3/listen              waiting    for events
            +1 h 1 min  /do/4/odd                 skipped
            +1 h 1 min  /                         faulted    timeout (408): too�late, at /do/1/call
        "#]]
        .assert_eq(&Timeline::default().lines(facts));
    }

    #[test]
    fn lines_that_come_later_go_on_in_the_same_columns() {
        let fact = |task: &str, millis: u32| {
            let text =
                format!(r#"{{"time": "2026-11-24T04:00:00.{millis:03}Z", "task": "{task}", "type": "started"}}"#);
            Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
        };
        let mut timeline = Timeline::default();
        let first = timeline.lines(&[fact("/do/0/a/very/long/way/down", 5)]);
        let second = timeline.lines(&[fact("/do/1", 25)]);
        assert_eq!(first, "     +0 ms  /do/0/a/very/long/way/down  started\n");
        assert_eq!(second, "    +20 ms  /do/1                       started\n");
    }
}
