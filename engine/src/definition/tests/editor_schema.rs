//! The schema for editors accepts what the compiler accepts, and refuses slips of shape.

use super::HEAD;
use crate::definition::schema::Schema;
use crate::definition::{Limits, WORKFLOW_SCHEMA, compile, yaml};
use crate::value::Value;

fn editor_schema() -> Schema {
    let schema = yaml::read(WORKFLOW_SCHEMA.as_bytes(), Limits::default()).expect("the schema is JSON");
    Schema::compile(&schema).unwrap_or_else(|error| panic!("{}: {}", error.pointer, error.message))
}

fn value(text: &str) -> Value {
    yaml::read(text.as_bytes(), Limits::default()).expect("YAML")
}

/// Definitions of all kinds of tasks, shared with the suite of the whole workspace.
const FIXTURES: [(&str, &str); 6] = [
    ("calls", include_str!("../../../tests/fixtures/definitions/calls.yaml")),
    ("control", include_str!("../../../tests/fixtures/definitions/control.yaml")),
    ("data", include_str!("../../../tests/fixtures/definitions/data.yaml")),
    ("errors", include_str!("../../../tests/fixtures/definitions/errors.yaml")),
    ("events", include_str!("../../../tests/fixtures/definitions/events.yaml")),
    ("schedule", include_str!("../../../tests/fixtures/definitions/schedule.yaml")),
];

#[test]
fn accepts_what_compiles() {
    let schema = editor_schema();
    for (name, text) in FIXTURES {
        let findings = compile(text).map_or_else(|findings| findings, |(_, warnings)| warnings);
        let shown: String = findings.iter().map(|f| f.render(name, text, false)).collect();
        assert!(shown.is_empty(), "{shown}");
        assert_eq!(schema.validate(&value(text)), Ok(()), "{name}");
    }
}

#[test]
fn refuses_slips() {
    let schema = editor_schema();
    for body in [
        "do:\n  - a: {set: {x: 1}}\n    b: {set: {x: 1}}",
        "do:\n  - a: {call: http, with: {method: get, endpoint: https://a.example}, foo: bar}",
        "do:\n  - a: {call: http, with: {method: get}}",
        "do:\n  - a: {listen: {to: {any: [], until: {any: [], until: .x}}}}",
        "do:\n  - a: {listen: {to: {one: {with: {type: a}}, until: .x}}}",
        "do:\n  - a: {set: {x: 1}, wait: PT1S}",
        "do:\n  - a: {if: .x}",
        "do:\n  - a: {set: {}}",
        "do:\n  - a: {wait: 30s}",
        "do:\n  - a: {wait: {second: 1}}",
        "do:\n  - a: {try: []}",
        "do:\n  - a: {switch: [{b: {when: .x}}]}",
        "do:\n  - a: {raise: {error: {type: x}}}",
        "do:\n  - a: {emit: {event: {with: {source: x}}}}",
        "do:\n  - a: {for: {in: 3}, do: []}",
        "schedule: {every: PT1S, cron: '* * * * *'}\ndo: []",
        "schedule: {every: PT1S, read: data}\ndo: []",
        "evaluate: {mode: loos}\ndo: []",
        "use: {function: {}}\ndo: []",
        "input: {}",
    ] {
        assert!(schema.validate(&value(&format!("{HEAD}{body}"))).is_err(), "accepted: {body}");
    }
    assert!(schema.validate(&value("document: {dsl: '1.0', namespace: a.b, name: c, version: v1}\ndo: []")).is_err());
}

#[test]
fn every_property_is_described() {
    fn undescribed(value: &Value, place: &str, found: &mut Vec<String>) {
        let Value::Object(members) = value else { return };
        if let Some(Value::Object(properties)) = members.get("properties") {
            for (name, property) in properties.iter() {
                let described = property.get("description").is_some() || property.get("$ref").is_some();
                if !described && property.get("const").is_none() && property.get("allOf").is_none() {
                    found.push(format!("{place}/{name}"));
                }
            }
        }
        for (key, member) in members.iter() {
            undescribed(member, &format!("{place}/{key}"), found);
        }
    }
    let mut found = Vec::new();
    undescribed(&value(WORKFLOW_SCHEMA), "", &mut found);
    assert_eq!(found, Vec::<String>::new());
}
