//! Our expressions against real jq 1.8.2, both ways of evaluation.
//!
//! What jq answered is recorded in `differential/answers.jsonl` and replayed by every run. With a jq at hand much more is compared,
//! and the record is made anew:
//!
//! ```text
//! make differential JQ=/path/to/jq PAIRS=100000 SEED=1
//! make differential-record JQ=/path/to/jq
//! ```
//!
//! `docs/expressions.md` says how the reference is had and where ours differs from it on purpose.

#![expect(clippy::disallowed_methods, reason = "a run is told by the environment which jq to ask")]

#[path = "differential/answers.rs"]
mod answers;
#[path = "differential/generator/mod.rs"]
mod generator;

use std::collections::BTreeMap;

use answers::{Answer, Asked, ask, ask_all, compared, compared_closely, parse};
use generator::Generator;
use trinity_engine::expression::Expression;
use trinity_engine::value::Value;

const INPUTS: &str = include_str!("differential/inputs.txt");
const PROGRAMS: &str = include_str!("differential/programs.txt");
const MANUAL: &str = include_str!("differential/manual.txt");
const RECORDED: &str = include_str!("differential/answers.jsonl");

/// Stands for the end of a line in a probe.
const LINE_END: char = '⏎';

/// Inputs that a generated program is tried on.
const TRIED: usize = 12;

/// Generated programs that jq is asked at once.
const PROGRAMS_EACH: usize = 20;

/// Programs that answer otherwise, after which a run ends.
const WRONG_MAX: usize = 200;

fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect()
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
            // An input of the list by its place, others as they are.
            let input = match recorded.get("i") {
                Some(Value::String(text)) => text.as_str(),
                place => inputs[place.and_then(Value::as_u64).expect("an input") as usize],
            };
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
    assert!(total > 14_000, "only {total} answers were compared");
}

/// The probes of the manual: programs, each with its own inputs.
fn probes() -> impl Iterator<Item = (String, Vec<String>)> {
    lines(MANUAL).into_iter().map(|line| {
        let mut parts = line.split('\t');
        let program = parts.next().unwrap_or_default().replace(LINE_END, "\n");
        (program, parts.map(str::to_owned).collect())
    })
}

/// The jq to ask. One that was built as a shared library may find another's on the machine.
fn jq() -> String {
    let jq = std::env::var("JQ").expect("JQ names a jq 1.8");
    match ask(&jq, "trimstr(\"x\") | have_literal_numbers", &["\"xax\""]) {
        Asked::Answers(answers) if answers[0].error.is_none() => jq,
        _ => panic!("{jq} is no jq 1.8, or does not find its own library"),
    }
}

/// The programs of a seed, each with the inputs that it is tried on: some of the list, some by chance.
fn generated(seed: u64, programs: usize, inputs: &[&str], count: usize) -> Vec<(String, Vec<String>)> {
    let mut generator = Generator::new(seed);
    (0..programs)
        .map(|_| {
            let program = generator.program();
            let mut input = |place: usize| match place % 2 {
                0 => inputs[generator.chance.below(inputs.len())].to_owned(),
                _ => generator.input(),
            };
            let tried = (0..count).map(&mut input).collect();
            (program, tried)
        })
        .collect()
}

/// Some programs of a seed with jq's answers, and the inputs that they are all tried on.
fn asked(seed: u64, inputs: &[&str], jq: &str) -> (Vec<(String, Asked)>, Vec<String>) {
    let (programs, mut tried): (Vec<String>, Vec<Vec<String>>) =
        generated(seed, PROGRAMS_EACH, inputs, TRIED).into_iter().unzip();
    let tried = tried.pop().unwrap_or_default();
    let texts: Vec<&str> = tried.iter().map(String::as_str).collect();
    let answers = ask_all(jq, &programs, &texts);
    (programs.into_iter().zip(answers).collect(), tried)
}

#[test]
#[ignore = "needs a jq 1.8: JQ=/path/to/jq, PAIRS=100000, SEED=1"]
fn generated_programs_answer_as_jq_answers() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (pairs, seed) = (number("PAIRS", 100_000) as usize, number("SEED", 1));
    let inputs = lines(INPUTS);
    let jq = jq();
    let (mut total, mut programs, mut refused, mut unanswered, mut fast) = (0, 0, 0, 0, 0);
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut round = 0;
    while total < pairs && wrong.len() <= WRONG_MAX {
        round += 1;
        let (asked, texts) = asked(seed * 1_000_003 + round, &inputs, &jq);
        for (program, answers) in asked {
            let compiled = Expression::compile(&program, &[]);
            let answers = match answers {
                Asked::Answers(answers) => answers,
                Asked::Refused => {
                    refused += 1;
                    if compiled.is_ok() {
                        println!("{program}\n    compiles, which jq refuses");
                        wrong.push(program);
                    }
                    continue;
                }
                Asked::Nothing => {
                    unanswered += 1;
                    continue;
                }
            };
            programs += 1;
            fast += usize::from(compiled.is_ok_and(|expression| expression.is_fast()));
            let mut differs = None;
            for (input, answer) in texts.iter().zip(&answers) {
                total += 1;
                match compared_closely(&jq, &program, input, answer) {
                    Ok(None) => {}
                    Ok(Some(reason)) => *reasons.entry(reason).or_default() += 1,
                    Err(difference) => differs = differs.or(Some(difference)),
                }
            }
            if let Some(difference) = differs {
                println!("{difference}");
                wrong.push(program);
            }
        }
        if round % 20 == 0 {
            println!("{total} compared, {} programs differ, {unanswered} programs without an answer", wrong.len());
        }
    }
    println!(
        "{total} pairs of {programs} programs, {fast} of them by the short way; {refused} refused by both; \
         {unanswered} took jq too long; listed: {reasons:?}; seed {seed}"
    );
    assert!(wrong.is_empty(), "{} programs differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
#[ignore = "makes the record anew: JQ=/path/to/jq"]
fn record() {
    let inputs = lines(INPUTS);
    let jq = jq();
    let mut out = String::new();
    let every: Vec<String> = inputs.iter().map(|input| (*input).to_owned()).collect();
    let written = lines(PROGRAMS).into_iter().map(|program| (program.to_owned(), every.clone()));
    let manual: Vec<(String, Vec<String>)> = probes().collect();
    let by_chance = generated(2, 1_500, &inputs, 4);
    for (program, tried) in manual.iter().cloned().chain(written).chain(by_chance) {
        let texts: Vec<&str> = tried.iter().map(String::as_str).collect();
        let answers = match ask(&jq, &program, &texts) {
            Asked::Answers(answers) => answers,
            _ if manual.iter().any(|(probe, _)| *probe == program) => panic!("jq has no answer to {program}"),
            // What other versions of jq have.
            _ => continue,
        };
        let answers: Vec<Value> = texts
            .iter()
            .zip(answers)
            .map(|(input, answer)| {
                let place = inputs.iter().position(|listed| listed == input);
                let input = place.map_or_else(|| Value::from(*input), Value::from);
                let mut members = vec![("i", input), ("o", answer.outputs.into_iter().map(Value::from).collect())];
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
