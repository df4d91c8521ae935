//! Our expressions against real jq 1.8.2, both ways of evaluation.
//!
//! What jq answered is recorded in `differential/answers.jsonl` and replayed by every run. With a jq at hand much more is compared,
//! and the record is made anew:
//!
//! ```text
//! JQ=/path/to/jq cargo test -p trinity-engine --test differential -- --ignored --nocapture
//! ```
//!
//! `docs/expressions.md` says how the reference is had and where ours differs from it on purpose.

#[path = "differential/generator.rs"]
mod generator;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use generator::Generator;
use trinity_engine::expression::{Context, Expression, Limits, Way};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};

const INPUTS: &str = include_str!("differential/inputs.txt");
const PROGRAMS: &str = include_str!("differential/programs.txt");
const RECORDED: &str = include_str!("differential/answers.jsonl");

/// Outputs of one program on one input that are looked at.
const OUTPUTS_MAX: usize = 100;

/// What a program gives on an input: JSON texts, and the error after them.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    outputs: Vec<String>,
    error: Option<String>,
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect()
}

fn parse(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits { depth_max: 10_000 }).expect("JSON")
}

fn ours(expression: &Expression, way: Way, input: &str) -> Answer {
    let limits = Limits::default();
    let none = |_: usize| Cow::Owned(Value::Null);
    let cx = Context { now: Timestamp(0), limits: &limits, variables: &none };
    let (outputs, error) = expression.outputs(way, &parse(input), &cx, OUTPUTS_MAX);
    Answer { outputs: outputs.iter().map(Value::to_json).collect(), error: error.map(|error| error.message()) }
}

/// Why an answer may differ: each reason is told to users in `docs/expressions.md`.
fn listed(jq: &Answer, ours: &Answer) -> Option<&'static str> {
    let starts = |answer: &Answer, text: &str| answer.error.as_deref().is_some_and(|error| error.starts_with(text));
    if starts(ours, "the expression reached its limit") {
        return Some("a budget");
    }
    if starts(jq, "Invalid path expression") {
        return Some("a value that equals the one at the path is taken for it");
    }
    let plain = |answer: &Answer| {
        answer.outputs.join(" ").replace("-0", "0") + answer.error.as_deref().unwrap_or("").replace("-0", "0").as_str()
    };
    (plain(jq) == plain(ours)).then_some("whole zero has no sign")
}

/// Compares both ways of ours to what jq answered; what is wrong, and why it may be.
fn compared(program: &str, input: &str, jq: &Answer) -> Result<Option<&'static str>, String> {
    let expression = match Expression::compile(program, &[]) {
        Ok(expression) => expression,
        Err(error) => return Err(format!("{program}\n    does not compile: {error}")),
    };
    let best = ours(&expression, Way::Best, input);
    let machine = ours(&expression, Way::Machine, input);
    let limited = |answer: &Answer| answer.error.as_deref().is_some_and(|error| error.contains("reached its limit"));
    if best != machine && !limited(&best) && !limited(&machine) {
        return Err(format!("{program}\n    on {input}: the ways differ: {best:?}, machine {machine:?}"));
    }
    if best == *jq {
        return Ok(None);
    }
    match listed(jq, &best) {
        Some(reason) => Ok(Some(reason)),
        None => Err(format!("{program}\n    on {input}: {best:?}\n    instead of {jq:?}")),
    }
}

#[test]
fn expressions_answer_as_jq_answers() {
    let inputs = lines(INPUTS);
    let mut wrong = Vec::new();
    let mut total = 0;
    for line in RECORDED.lines() {
        let line = parse(line);
        let program = line.get("p").and_then(Value::as_str).expect("a program");
        for recorded in line.get("a").and_then(Value::as_array).expect("answers") {
            let input = inputs[recorded.get("i").and_then(Value::as_u64).expect("an input") as usize];
            let texts = recorded.get("o").and_then(Value::as_array).expect("outputs");
            let outputs = texts.iter().map(|text| text.as_str().expect("a text").to_owned()).collect();
            let error = recorded.get("e").and_then(Value::as_str).map(str::to_owned);
            total += 1;
            if let Err(difference) = compared(program, input, &Answer { outputs, error }) {
                wrong.push(difference);
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {total} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(total > 4_000, "only {total} answers were compared");
}

/// What jq answers to a program on each input; `None` when it does not compile or takes too long.
fn ask(jq: &str, program: &str, inputs: &[&str]) -> Option<Vec<Answer>> {
    let wrapped = format!("[limit({OUTPUTS_MAX}; try (({program}\n) | {{o: tojson}}) catch {{e: .}})]");
    let mut child = Command::new("timeout")
        .args(["10", jq, "-c", &wrapped])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("jq starts");
    child.stdin.take().expect("an input").write_all(inputs.join("\n").as_bytes()).ok();
    let output = child.wait_with_output().expect("jq ends");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Answer> = text.split_terminator('\n').map(answer).collect();
    (answers.len() == inputs.len()).then_some(answers)
}

fn answer(line: &str) -> Answer {
    let mut answer = Answer { outputs: Vec::new(), error: None };
    for part in parse(line).as_array().expect("a list") {
        match (part.get("o"), part.get("e")) {
            (Some(output), _) => answer.outputs.push(output.as_str().expect("a text").to_owned()),
            (None, Some(Value::String(error))) => answer.error = Some(error.to_string()),
            (None, Some(error)) => answer.error = Some(format!("(not a string): {error}")),
            (None, None) => {}
        }
    }
    answer
}

fn jq() -> String {
    std::env::var("JQ").expect("JQ names a jq 1.8")
}

/// The programs of a seed, each with the inputs that it is tried on.
fn generated(seed: u64, programs: usize, inputs: usize, count: usize) -> Vec<(String, Vec<usize>)> {
    let mut generator = Generator::new(seed);
    (0..programs)
        .map(|_| {
            let program = generator.program();
            let tried = (0..count).map(|_| generator.chance.below(inputs)).collect();
            (program, tried)
        })
        .collect()
}

#[test]
#[ignore = "needs a jq 1.8: JQ=/path/to/jq, PAIRS=100000, SEED=1"]
fn generated_programs_answer_as_jq_answers() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (pairs, seed) = (number("PAIRS", 100_000) as usize, number("SEED", 1));
    let inputs = lines(INPUTS);
    let jq = jq();
    let (mut total, mut unanswered, mut fast) = (0, 0, 0);
    let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut round = 0;
    while total < pairs {
        round += 1;
        for (program, tried) in generated(seed * 1_000_003 + round, 250, inputs.len(), 20) {
            let texts: Vec<&str> = tried.iter().map(|place| inputs[*place]).collect();
            let Some(answers) = ask(&jq, &program, &texts) else {
                unanswered += 1;
                continue;
            };
            fast += usize::from(Expression::compile(&program, &[]).is_ok_and(|expression| expression.is_fast()));
            for (input, answer) in texts.iter().zip(&answers) {
                total += 1;
                match compared(&program, input, answer) {
                    Ok(None) => {}
                    Ok(Some(reason)) => *reasons.entry(reason).or_default() += 1,
                    Err(difference) => wrong.push(difference),
                }
            }
        }
        println!("{total} compared, {} differ, {unanswered} programs without an answer", wrong.len());
        if wrong.len() > 200 {
            break;
        }
    }
    println!("{total} pairs; listed: {reasons:?}; {fast} programs by the short way; seed {seed}");
    assert!(wrong.is_empty(), "{} of {total} answers differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "makes the record anew: JQ=/path/to/jq"]
fn record() {
    let inputs = lines(INPUTS);
    let jq = jq();
    let mut out = String::new();
    let every: Vec<usize> = (0..inputs.len()).collect();
    let written = lines(PROGRAMS).into_iter().map(|program| (program.to_owned(), every.clone()));
    let by_chance = generated(2, 600, inputs.len(), 4);
    for (program, tried) in written.chain(by_chance) {
        let texts: Vec<&str> = tried.iter().map(|place| inputs[*place]).collect();
        let Some(answers) = ask(&jq, &program, &texts) else { continue };
        let answers: Vec<Value> = tried
            .iter()
            .zip(answers)
            .map(|(place, answer)| {
                let mut members =
                    vec![("i", Value::from(*place)), ("o", answer.outputs.into_iter().map(Value::from).collect())];
                members.extend(answer.error.map(|error| ("e", Value::from(error))));
                members.into_iter().collect()
            })
            .collect();
        let line: Value = [("p", Value::from(program)), ("a", answers.into_iter().collect())].into_iter().collect();
        out.push_str(&line.to_json());
        out.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/differential/answers.jsonl");
    std::fs::write(path, out).expect("the record is written");
}
