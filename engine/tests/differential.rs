//! Our expressions against what a bundled jq answered: `differential/record.py` says how that was recorded, and
//! `docs/expressions.md` what is not known of that jq. Texts of errors that nobody catches are not compared.

use std::collections::BTreeMap;

use trinity_engine::expression::{Context, Expression, Limits};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};

/// Programs whose answers differ, each with the reason: `docs/expressions.md` tells them to users.
const DIFFERENT: &[(&str, &str)] = &[
    ("[.[]? | isvalid(.a)]", "kept from older jq"),
    ("[leaf_paths]", "kept from older jq"),
    ("ascii", "kept from older jq"),
    ("toarray", "there in newer jq"),
    ("from_entries", "takes `k` and `v` too, and turns keys into text, as older jq"),
    (
        r#"[{"name": "a", "value": 1}, {"k": "b", "v": 2}, {"key": null, "value": 3}, {"key": false}] | from_entries"#,
        "the same",
    ),
    ("[0.1 + 0.2, 1e1000, -1e1000, 100000000000000000000]", "numbers are doubles and print as such"),
    ("[1e17, 1e18, 1e-5, 0.0001, 123456789012, 1.1e300, 3.0] ", "numbers are doubles and print as such"),
    ("todate", "an array must have at least six parts"),
];

fn parse(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits::default()).expect("recorded JSON")
}

/// Outputs as texts, and the error after them.
fn ours(program: &str, input: &str) -> (Vec<String>, Option<String>) {
    let expression = match Expression::compile(&format!("({program}) | tojson"), &[]) {
        Ok(expression) => expression,
        Err(error) => return (Vec::new(), Some(format!("syntax: {}", error.message))),
    };
    let limits = Limits::default();
    let none = |_: usize| Value::Null;
    let cx = Context { now: Timestamp(0), limits: &limits, variables: &none };
    // The outputs before an error are asked for one more at a time.
    let mut outputs = Vec::new();
    loop {
        match expression.evaluate_all(&parse(input), &cx, outputs.len() + 1) {
            Ok(all) if all.len() > outputs.len() && all.len() <= 100 => outputs = all,
            Ok(_) => return (texts(&outputs), None),
            Err(error) => return (texts(&outputs), Some(error.message())),
        }
    }
}

fn texts(values: &[Value]) -> Vec<String> {
    values.iter().map(|value| value.as_str().unwrap_or("not a text").to_owned()).collect()
}

#[test]
fn expressions_answer_as_jq_answers() {
    let recorded = include_str!("differential/answers.jsonl");
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut total = 0;
    for line in recorded.lines() {
        let line = parse(line);
        let text = |key: &str| line.get(key).and_then(Value::as_str).expect("recorded text").to_owned();
        let (program, input) = (text("p"), text("i"));
        if DIFFERENT.iter().any(|(different, _)| *different == program) {
            continue;
        }
        total += 1;
        let outputs = texts(line.get("o").and_then(Value::as_array).expect("recorded outputs"));
        let error = line.get("e").and_then(Value::as_str).map(str::to_owned);
        let (our_outputs, our_error) = ours(&program, &input);
        if our_outputs != outputs || our_error.is_some() != error.is_some() {
            let difference = format!("on {input}: {our_outputs:?} {our_error:?} instead of {outputs:?} {error:?}");
            wrong.entry(program).or_default().push(difference);
        }
    }
    let report: Vec<String> =
        wrong.iter().map(|(program, cases)| format!("{program}\n    {}", cases.join("\n    "))).collect();
    assert!(
        wrong.is_empty(),
        "{} of {total} answers differ:\n{}",
        wrong.values().map(Vec::len).sum::<usize>(),
        report.join("\n")
    );
    assert!(total > 2_000, "only {total} answers were compared");
}
