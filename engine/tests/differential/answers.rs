//! What jq answers, what ours answers, and where both may differ.

use std::borrow::Cow;
use std::io::Write;
use std::process::{Command, Stdio};

use trinity_engine::expression::{Context, Expression, Limits, Way};
use trinity_engine::time::Timestamp;
use trinity_engine::value::{ParseLimits, Value};

/// Outputs of one program on one input that are looked at.
const OUTPUTS_MAX: usize = 100;

/// What jq's process ends with when a program does not compile.
const EXIT_COMPILE: i32 = 3;

/// Errors of one regular expression: ours names the first, jq the second. It has both, or jq has no name for it.
const OTHER_ERRORS: &[(&str, &str)] = &[
    ("undefined name <", "invalid backref number/name"),
    ("target of repeat operator is invalid", "target of repeat operator is not specified"),
    ("invalid pattern in look-behind", "undefined error code"),
];

/// What a program gives on an input: JSON texts, and the error after them.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub outputs: Vec<String>,
    pub error: Option<String>,
}

impl Answer {
    fn limited(&self) -> bool {
        self.error.as_deref().is_some_and(|error| error.starts_with("the expression reached its limit"))
    }

    /// Outputs and error in one text.
    fn plain(&self) -> String {
        format!("{}\n{}", self.outputs.join("\n"), self.error.as_deref().unwrap_or("(none)"))
    }
}

/// What jq made of a program.
pub enum Asked {
    /// Its answer to each input.
    Answers(Vec<Answer>),
    /// It does not compile.
    Refused,
    /// It took too long, or jq itself failed.
    Nothing,
}

pub fn parse(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits { depth_max: 10_000 }).expect("JSON")
}

/// Asks the jq binary at `jq` for its answers to several programs: all in one process, for it takes longer to start than to
/// answer, or one by one where one of them fails it.
pub fn ask_all(jq: &str, programs: &[String], inputs: &[&str]) -> Vec<Asked> {
    if let Asked::Answers(answers) = ask_together(jq, programs, inputs) {
        let of = |place| answers.iter().skip(place).step_by(programs.len()).cloned().collect();
        return (0..programs.len()).map(|place| Asked::Answers(of(place))).collect();
    }
    programs.iter().map(|program| ask(jq, program, inputs)).collect()
}

/// Asks the jq binary at `jq` for its answers to a program.
pub fn ask(jq: &str, program: &str, inputs: &[&str]) -> Asked {
    ask_together(jq, &[program.to_owned()], inputs)
}

/// The answers of all programs to the first input, to the second, and so on.
fn ask_together(jq: &str, programs: &[String], inputs: &[&str]) -> Asked {
    let wrap = |program| {
        format!("[limit({OUTPUTS_MAX}; try (({program}\n) | {{o: tojson}}) catch {{e: (strings // {{v: tojson}})}})]")
    };
    let wrapped = programs.iter().map(wrap).collect::<Vec<_>>().join(",");
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
    if output.status.code() == Some(EXIT_COMPILE) {
        return Asked::Refused;
    }
    // A process that was stopped may have written half a line.
    if !output.status.success() {
        return Asked::Nothing;
    }
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let answers: Vec<Answer> = text.split_terminator('\n').map(answer).collect();
    if answers.len() == programs.len() * inputs.len() { Asked::Answers(answers) } else { Asked::Nothing }
}

fn answer(line: &str) -> Answer {
    let mut answer = Answer { outputs: Vec::new(), error: None };
    for part in parse(line).as_array().expect("a list") {
        match (part.get("o"), part.get("e")) {
            (Some(output), _) => answer.outputs.push(output.as_str().expect("a text").to_owned()),
            (None, Some(Value::String(error))) => answer.error = Some(error.to_string()),
            (None, Some(error)) => {
                let text = error.get("v").and_then(Value::as_str).expect("a text");
                answer.error = Some(format!("(not a string): {text}"));
            }
            (None, None) => {}
        }
    }
    answer
}

fn ours(expression: &Expression, way: Way, input: &Value) -> Answer {
    let limits = Limits::default();
    let none = |_: usize| Cow::Owned(Value::Null);
    let cx = Context { now: Timestamp(0), limits: &limits, variables: &none, spent: None };
    let (outputs, error) = expression.outputs(way, input, &cx, OUTPUTS_MAX);
    Answer { outputs: outputs.iter().map(Value::to_json).collect(), error: error.map(|error| error.message()) }
}

/// Why an answer may differ.
#[derive(Debug)]
pub struct Listed {
    pub reason: String,
    /// A program and an input like these that the reason is not about: there both must agree.
    pub without: Option<(String, String)>,
}

/// Compares both ways of ours to what jq answered; what is wrong, and why it may be.
pub fn compared(program: &str, input: &str, jq: &Answer) -> Result<Option<Listed>, String> {
    let expression = match Expression::compile(program, &[]) {
        Ok(expression) => expression,
        Err(error) => return Err(format!("{program}\n    does not compile: {error}")),
    };
    let value = parse(input);
    let best = ours(&expression, Way::Best, &value);
    let machine = ours(&expression, Way::Machine, &value);
    if best != machine && !best.limited() && !machine.limited() {
        return Err(format!("{program}\n    on {input}: the ways differ: {best:?}, machine {machine:?}"));
    }
    if best == *jq {
        return Ok(None);
    }
    match listed(program, input, jq, &best) {
        Some(listed) => Ok(Some(listed)),
        None => Err(format!("{program}\n    on {input}: {best:?}\n    instead of {jq:?}")),
    }
}

/// The same with a real jq at hand, which is asked again where a reason is about some of a program or input only.
pub fn compared_closely(jq: &str, program: &str, input: &str, answer: &Answer) -> Result<Option<String>, String> {
    let Some(listed) = compared(program, input, answer)? else { return Ok(None) };
    if let Some((program, input)) = listed.without {
        match ask(jq, &program, &[&input]) {
            Asked::Answers(answers) => {
                if let Some(Listed { without: Some(_), reason }) = compared(&program, &input, &answers[0])? {
                    return Err(format!("{program}\n    on {input}: {reason}, although the cause is gone"));
                }
            }
            _ => return Err(format!("{program}\n    on {input}: jq has no answer")),
        }
    }
    Ok(Some(listed.reason))
}

/// Why an answer may differ: each reason is told to users in `docs/expressions.md`.
fn listed(program: &str, input: &str, jq: &Answer, ours: &Answer) -> Option<Listed> {
    let always = |reason: &str| Some(Listed { reason: reason.to_owned(), without: None });
    if ours.limited() {
        let begun = jq.outputs.iter().take(ours.outputs.len()).eq(&ours.outputs);
        return begun.then(|| always("a budget")).flatten();
    }
    if is_refused_copy(jq) && ours.outputs.starts_with(&jq.outputs) {
        return always("a number, text or empty array that equals the one at the path is taken for it");
    }
    if let (Some(theirs), Some(own)) = (regex_failure(jq), regex_failure(ours))
        && jq.outputs == ours.outputs
        && OTHER_ERRORS.iter().any(|(first, second)| own.starts_with(first) && theirs.starts_with(second))
    {
        let text = "of several errors in a regular expression another is named";
        return always(&format!("{text}: {own:?} for {theirs:?}"));
    }
    let searches =
        ["match(", "capture(", "scan(", "split(", "splits(", "sub("].iter().any(|name| program.contains(name));
    if searches && !(program.is_ascii() && input.is_ascii()) && jq.error == ours.error {
        let plain = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { 'q' }).collect();
        let reason = "an empty match beside a character of several bytes is reported once".to_owned();
        // There may be a second cause.
        return Some(Listed { reason, without: Some((plain(&without_defects(program)), plain(input))) });
    }
    if searches && program.contains("\"l\"") && jq.error == ours.error {
        let reason = "the flag `l` does not ask for the longest match".to_owned();
        return Some(Listed { reason, without: Some((without_defects(program), input.to_owned())) });
    }
    if repeats_line_ends(program) && jq.error == ours.error {
        let reason = "line ends are repeated that do not begin with a carriage return".to_owned();
        return Some(Listed { reason, without: Some((without_defects(program), input.to_owned())) });
    }
    if searches && keeps_in_repetition(program) && jq.error == ours.error {
        return always("a match that begins within a repetition");
    }
    if without_labels(&jq.plain()) == without_labels(&ours.plain()) {
        return always("labels have other numbers");
    }
    (unsigned_zeros(&jq.plain()) == unsigned_zeros(&ours.plain())).then(|| always("whole zero has no sign")).flatten()
}

/// The error of a regular expression that does not compile.
fn regex_failure(answer: &Answer) -> Option<&str> {
    answer.error.as_deref()?.strip_prefix("Regex failure: ")
}

/// How `\R` is written in a program, and something like it.
const LINE_END: &str = "\\\\R";
const LINE_END_WRITTEN_OUT: &str = "(?:\\\\r\\\\n|[\\\\n-\\\\r])";

/// Whether something that may begin with `\R` is repeated without a bound.
fn repeats_line_ends(program: &str) -> bool {
    let behind = program.split_once(LINE_END).map_or("", |(_, behind)| behind);
    behind.contains(['*', '+']) || behind.contains(",}")
}

/// A program like this one without the flag and the line ends that jq has defects with.
fn without_defects(program: &str) -> String {
    program.replace("\"l\"", "null").replace(LINE_END, LINE_END_WRITTEN_OUT)
}

/// Whether `\K` stands in a program before the end of a group that is repeated.
fn keeps_in_repetition(program: &str) -> bool {
    let behind = program.split_once("\\K").map_or("", |(_, behind)| behind);
    let ends = behind.match_indices(')').map(|(at, _)| behind[at + 1..].chars().next());
    ends.flatten().any(|next| matches!(next, '*' | '+' | '?' | '{'))
}

/// Whether jq refuses a path because a number, a text or something empty is not in the same place as the one at the path.
fn is_refused_copy(jq: &Answer) -> bool {
    let Some(error) = jq.error.as_deref().and_then(|error| error.strip_prefix("Invalid path expression ")) else {
        return false;
    };
    let value = match error.rsplit_once(" of ") {
        Some((start, value)) if start.starts_with("near attempt to access element ") => Some(value),
        _ => None,
    };
    let value = value
        .or_else(|| error.strip_prefix("with result "))
        .or_else(|| error.strip_prefix("near attempt to iterate through "))
        .unwrap_or(error);
    value.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '"') || value == "[]" || value == "{}"
}

/// A text without the numbers of labels, which a `catch` around a `break` sees.
fn without_labels(text: &str) -> String {
    let mut parts = text.split("{\"__jq\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + "{\"__jq\":" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// A text in which each number `-0` is written `0`.
fn unsigned_zeros(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("-0") {
        let (before, behind) = (&rest[..at], &rest[at + 2..]);
        let alone = !before.ends_with(|c: char| c.is_ascii_alphanumeric())
            && !behind.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        out.push_str(before);
        out.push_str(if alone { "0" } else { "-0" });
        rest = behind;
    }
    out + rest
}

#[test]
fn only_a_whole_zero_loses_its_sign() {
    assert_eq!(unsigned_zeros("[-0,-0.5,1e-05,-0] -0"), "[0,-0.5,1e-05,0] 0");
}

#[test]
fn only_copies_without_a_place_are_listed() {
    let refused = |error: &str| is_refused_copy(&Answer { outputs: Vec::new(), error: Some(error.to_owned()) });
    assert!(refused("Invalid path expression with result 1"));
    assert!(refused("Invalid path expression near attempt to access element \"a of b\" of {}"));
    assert!(!refused("Invalid path expression near attempt to access element \"a\" of {\"b\":1}"));
    assert!(!refused("Invalid path expression with result true"));
    assert!(!refused("Invalid path expression with result [1,2]"));
    assert!(!refused("Cannot iterate over null (null)"));
}
