//! Functions that use regular expressions.

use std::sync::Arc;

use ecow::EcoString;

use super::{Arguments, paths};
use crate::expression::arithmetic;
use crate::expression::ast::{Ast, Tree};
use crate::expression::errors::{Stop, refuse};
use crate::expression::regex::{Found, Options, Regex};
use crate::expression::run::Run;
use crate::value::{Array, Map, Value};

type Done = Result<Value, Stop>;

/// What the letters of the flags ask for.
fn read_flags(flags: &Value) -> Result<(Options, bool), Stop> {
    let mut options = Options::default();
    let mut global = false;
    let Value::String(letters) = flags else {
        return if flags.is_null() { Ok((options, global)) } else { Err(refuse(flags, "is not a string")) };
    };
    for letter in letters.chars() {
        match letter {
            'g' => global = true,
            'i' => options.ignore_case = true,
            'x' => options.extended = true,
            'm' | 'p' => options.dot_all = true,
            'n' => options.not_empty = true,
            // What `s` asks for holds anyway; `l` is not followed, see `docs/expressions.md`.
            's' | 'l' => {}
            _ => return Err(Stop::error(format!("{letters} is not a valid modifier string"))),
        }
    }
    Ok((options, global))
}

/// Compiled expressions that one evaluation keeps.
const KEPT_MAX: usize = 8;

/// Compiled expressions that a program keeps.
const WRITTEN_MAX: usize = 64;

/// Compiled expressions: those that are written out in a program, or those of one evaluation, the newest last.
#[derive(Debug, Default)]
pub struct Kept(Vec<(EcoString, Options, Arc<Regex>)>);

impl Kept {
    /// Those that are written out in a program; what is wrong with one shows where it is used. `None`: there are none.
    pub fn of(tree: &Tree) -> Option<Arc<Kept>> {
        let mut kept = Kept::default();
        for (pattern, flags) in tree.nodes().filter_map(|ast| written(tree, ast)) {
            if let Ok((options, _)) = read_flags(&flags)
                && kept.get(pattern, options).is_none()
                && kept.0.len() < WRITTEN_MAX
                && let Ok(regex) = Regex::new(pattern, options)
            {
                kept.0.push((pattern.clone(), options, Arc::new(regex)));
            }
        }
        (!kept.0.is_empty()).then(|| Arc::new(kept))
    }

    fn get(&self, pattern: &EcoString, options: Options) -> Option<&Arc<Regex>> {
        self.0.iter().find(|(own, asked, _)| own == pattern && *asked == options).map(|(.., regex)| regex)
    }
}

/// The constant pattern and flags of a call.
fn written<'t>(tree: &'t Tree, ast: &Ast) -> Option<(&'t EcoString, Value)> {
    let Ast::Call(name, arguments, _) = ast else { return None };
    let flags = match (name.as_str(), &arguments[..]) {
        ("test" | "match" | "capture" | "scan" | "splits", [_]) | ("sub" | "gsub", [_, _]) => None,
        ("test" | "match" | "capture" | "scan" | "splits" | "split", [_, flags]) | ("sub" | "gsub", [_, _, flags]) => {
            Some(tree.get(*flags))
        }
        _ => return None,
    };
    match (tree.get(arguments[0]), flags) {
        (Ast::Literal(Value::String(pattern)), None) => Some((pattern, Value::Null)),
        (Ast::Literal(Value::String(pattern)), Some(Ast::Literal(flags))) => Some((pattern, flags.clone())),
        _ => None,
    }
}

fn compiled(run: &mut Run<'_>, pattern: &EcoString, options: Options) -> Result<Arc<Regex>, Stop> {
    let written = run.written.as_ref().and_then(|written| written.get(pattern, options));
    if let Some(regex) = written.or_else(|| run.regexes.get(pattern, options)) {
        return Ok(regex.clone());
    }
    run.charge(500 + pattern.len() as u64 * 50)?;
    let regex = Regex::new(pattern, options).map_err(|wrong| Stop::error(format!("Regex failure: {wrong}")))?;
    let regex = Arc::new(regex);
    if run.regexes.0.len() >= KEPT_MAX {
        run.regexes.0.remove(0);
    }
    run.regexes.0.push((pattern.clone(), options, regex.clone()));
    Ok(regex)
}

/// `_match(pattern; flags; test)`: whether there is a match, or all that are asked for.
pub fn find(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let [pattern, flags, test] = arguments else { return Ok(Value::Null) };
    if *test == Value::Bool(true) {
        return matches(run, &input, pattern, flags, false, true).map(|found| Value::Bool(!found.is_empty()));
    }
    matches(run, &input, pattern, flags, false, false).map(Value::Array)
}

fn matches(
    run: &mut Run<'_>,
    text: &Value,
    pattern: &Value,
    flags: &Value,
    global: bool,
    test: bool,
) -> Result<Array, Stop> {
    let Value::String(text) = text else { return Err(refuse(text, "cannot be matched, as it is not a string")) };
    let Value::String(pattern) = pattern else { return Err(refuse(pattern, "is not a string")) };
    let (options, all) = read_flags(flags)?;
    let regex = compiled(run, pattern, options)?;
    let mut found = Array::new();
    let (mut at, mut counted) = (0, Counted::default());
    while at <= text.len() {
        // A match is described by a dozen values.
        run.charge(12)?;
        let Some(one) = regex.find(run, text, at)? else { break };
        let Some((from, to)) = one.groups[0] else { break };
        if test {
            found.push(Value::Bool(true));
            break;
        }
        run.allocate(256 * one.groups.len())?;
        found.push(described(text, &one, &regex.names, &mut counted));
        if !(global || all) {
            break;
        }
        // Behind an empty match the search goes on with the next character.
        at = if from == to { to + text[to..].chars().next().map_or(1, char::len_utf8) } else { to };
    }
    Ok(found)
}

/// Characters counted so far, and up to which byte.
#[derive(Default)]
struct Counted {
    bytes: usize,
    chars: usize,
}

impl Counted {
    fn at(&mut self, text: &str, place: usize) -> usize {
        if place < self.bytes {
            return text[..place].chars().count();
        }
        self.chars += text[self.bytes..place].chars().count();
        self.bytes = place;
        self.chars
    }
}

fn described(text: &str, found: &Found, names: &[Option<EcoString>], counted: &mut Counted) -> Value {
    let whole = found.groups[0].unwrap_or_default();
    let start = counted.at(text, whole.0);
    let place =
        |at: usize| if at >= whole.0 { start + text[whole.0..at].chars().count() } else { text[..at].chars().count() };
    let length = |from: usize, to: usize| Value::from(text[from..to].chars().count());
    let group = |(part, name): (&Option<(usize, usize)>, &Option<EcoString>)| {
        let name = Value::from(name.clone());
        let members = match *part {
            // Of an empty match every group is empty, where the match is: also one that a look around kept.
            Some((from, to)) if from < to && whole.0 < whole.1 => [
                ("offset", Value::from(place(from))),
                ("length", length(from, to)),
                ("string", Value::from(&text[from..to])),
                ("name", name),
            ],
            Some((from, _)) => {
                let at = if whole.0 == whole.1 { start } else { place(from) };
                [("offset", Value::from(at)), ("string", Value::from("")), ("length", Value::Int(0)), ("name", name)]
            }
            None => [("offset", Value::Int(-1)), ("string", Value::Null), ("length", Value::Int(0)), ("name", name)],
        };
        members.into_iter().collect::<Value>()
    };
    let groups: Value = found.groups[1..].iter().zip(names).map(group).collect();
    let members = [
        ("offset", Value::from(start)),
        ("length", length(whole.0, whole.1)),
        ("string", Value::from(&text[whole.0..whole.1])),
        ("captures", groups),
    ];
    members.into_iter().collect()
}

/// The named groups of a match.
pub fn captured(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    let mut map = Map::new();
    for group in input.get("captures").and_then(Value::as_array).into_iter().flatten() {
        if let (Some(Value::String(name)), Some(text)) = (group.get("name"), group.get("string")) {
            map.insert(name.clone(), text.clone());
        }
    }
    Ok(Value::Object(map))
}

/// `_splits(pattern; flags)`: the texts between all matches.
pub fn split(run: &mut Run<'_>, input: Value, arguments: Arguments<'_>) -> Done {
    let flags = arithmetic::add(run, arguments[1].clone(), Value::from("g"))?;
    let found = matches(run, &input, &arguments[0], &flags, true, false)?;
    let Value::String(text) = &input else { return Ok(Value::Null) };
    let mut parts = Array::new();
    let mut start = 0;
    for one in &found {
        run.charge(1 + text.len() as u64 / 32)?;
        let number = |name: &str| one.get(name).and_then(Value::as_u64).unwrap_or(0) as usize;
        parts.push(Value::from(paths::slice(text, start, number("offset").max(start))));
        start = number("offset") + number("length");
    }
    let end = text.chars().count();
    parts.push(Value::from(paths::slice(text, start, end.max(start))));
    Ok(Value::Array(parts))
}
