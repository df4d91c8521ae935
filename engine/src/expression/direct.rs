//! The short way: filters that give exactly one output or fail, and need neither names of their own nor paths, are
//! evaluated without continuations, and what they only look at is borrowed. This is what workflows mostly write: members,
//! arithmetic, comparisons, alternatives, conditions, construction, texts.

use std::borrow::Cow;

use super::arithmetic;
use super::ast::{Ast, Part};
use super::evaluate::{Machine, Stop};
use super::{paths, text};
use crate::value::{Array, Map, Value};

/// Deeper filters go the long way, which watches the machine stack.
const DEPTH_MAX: u32 = 64;

/// Whether a filter can go the short way.
pub(super) fn is_direct(ast: &Ast) -> bool {
    within(ast, DEPTH_MAX)
}

fn within(ast: &Ast, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    let inner = |ast: &Ast| within(ast, depth);
    match ast {
        Ast::Identity | Ast::Literal(_) | Ast::Argument(_) | Ast::Format(_) | Ast::Array(None) => true,
        Ast::Negate(a) => inner(a),
        Ast::Array(Some(a)) => items(a).all(inner),
        Ast::Index(a, b)
        | Ast::Pipe(a, b)
        | Ast::Binary(_, a, b)
        | Ast::And(a, b)
        | Ast::Or(a, b)
        | Ast::Alternative(a, b) => inner(a) && inner(b),
        Ast::If(a, b, c) => inner(a) && inner(b) && c.as_deref().is_none_or(inner),
        Ast::Object(members) => members.iter().all(|(key, value)| inner(key) && inner(value)),
        Ast::Text(_, parts) => parts.iter().all(|part| match part {
            Part::Plain(_) => true,
            Part::Filter(filter) => inner(filter),
        }),
        Ast::RecurseAll
        | Ast::Slice(..)
        | Ast::Iterate(_)
        | Ast::Try(..)
        | Ast::Comma(..)
        | Ast::Reduce(..)
        | Ast::Foreach(..)
        | Ast::Local(_)
        | Ast::Bind(..)
        | Ast::Define(..)
        | Ast::Call(..)
        | Ast::Assign(..)
        | Ast::Update(..)
        | Ast::Modify(..)
        | Ast::Label(..)
        | Ast::Break(_) => false,
    }
}

/// The elements of an array's filter: `a, b, c` leans to the left.
fn items(ast: &Ast) -> impl Iterator<Item = &Ast> {
    let mut found = Vec::new();
    let mut rest = ast;
    while let Ast::Comma(before, last) = rest {
        found.push(&**last);
        rest = before;
    }
    found.push(rest);
    found.into_iter().rev()
}

impl Machine<'_> {
    /// The output of a filter that [`is_direct`].
    pub fn direct<'v>(&mut self, ast: &'v Ast, input: &'v Value) -> Result<Cow<'v, Value>, Stop> {
        self.charge(1)?;
        let owned = |value: Value| Ok(Cow::Owned(value));
        match ast {
            Ast::Identity => Ok(Cow::Borrowed(input)),
            Ast::Literal(value) => Ok(Cow::Borrowed(value)),
            Ast::Argument(index) => owned((self.cx.variables)(*index)),
            Ast::Index(term, key) => {
                let whole = self.direct(term, input)?;
                let key = self.direct(key, input)?;
                member(whole, &key)
            }
            Ast::Pipe(a, b) => match self.direct(a, input)? {
                Cow::Borrowed(value) => self.direct(b, value),
                Cow::Owned(value) => owned(self.direct(b, &value)?.into_owned()),
            },
            Ast::Negate(a) => owned(arithmetic::negate(&*self.direct(a, input)?)?),
            Ast::Binary(operator, a, b) => {
                // The right side first, as jq does: its error is the one that shows.
                let right = self.direct(b, input)?;
                let left = self.direct(a, input)?;
                owned(arithmetic::apply(self, *operator, &left, &right)?)
            }
            Ast::And(a, b) => {
                let holds = self.direct(a, input)?.is_truthy() && self.direct(b, input)?.is_truthy();
                owned(Value::Bool(holds))
            }
            Ast::Or(a, b) => {
                let holds = self.direct(a, input)?.is_truthy() || self.direct(b, input)?.is_truthy();
                owned(Value::Bool(holds))
            }
            Ast::Alternative(a, b) => {
                let first = self.direct(a, input)?;
                if first.is_truthy() { Ok(first) } else { self.direct(b, input) }
            }
            Ast::If(condition, then, otherwise) => {
                match (self.direct(condition, input)?.is_truthy(), otherwise.as_deref()) {
                    (true, _) => self.direct(then, input),
                    (false, Some(otherwise)) => self.direct(otherwise, input),
                    (false, None) => Ok(Cow::Borrowed(input)),
                }
            }
            Ast::Array(None) => owned(Value::Array(Array::new())),
            Ast::Array(Some(filter)) => {
                let mut array = Array::new();
                for item in items(filter) {
                    self.allocate(24)?;
                    array.push(self.direct(item, input)?.into_owned());
                }
                owned(Value::Array(array))
            }
            Ast::Object(members) => {
                self.allocate(48 * members.len())?;
                let mut map = Map::with_capacity(members.len());
                for (key, value) in members {
                    let key = self.direct(key, input)?;
                    let Value::String(key) = &*key else {
                        let message = format!("Object keys must be strings, not {}", text::typed(&key));
                        return Err(Stop::error(message));
                    };
                    let value = self.direct(value, input)?.into_owned();
                    map.insert(key.clone(), value);
                }
                owned(Value::Object(map))
            }
            Ast::Text(format, parts) => {
                let mut built = String::new();
                for part in parts {
                    match part {
                        Part::Plain(plain) => built.push_str(plain),
                        Part::Filter(filter) => {
                            let value = self.direct(filter, input)?;
                            built.push_str(&text::format(*format, &value)?);
                        }
                    }
                }
                self.allocate(built.len())?;
                owned(Value::from(built.as_str()))
            }
            Ast::Format(format) => {
                let text = text::format(*format, input)?;
                self.allocate(text.len())?;
                owned(Value::String(text))
            }
            _ => unreachable!("not direct"),
        }
    }
}

/// What lies under `key`, borrowed where it can be.
fn member<'v>(whole: Cow<'v, Value>, key: &Value) -> Result<Cow<'v, Value>, Stop> {
    static NULL: Value = Value::Null;
    match (whole, key) {
        (Cow::Borrowed(Value::Object(map)), Value::String(key)) => Ok(Cow::Borrowed(map.get(key).unwrap_or(&NULL))),
        (Cow::Borrowed(Value::Array(items)), Value::Int(at)) if *at >= 0 => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            Ok(Cow::Borrowed(item.unwrap_or(&NULL)))
        }
        (whole, key) => paths::index(&whole, key).map(Cow::Owned),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Context, Expression, Limits};
    use super::*;
    use crate::time::Timestamp;
    use crate::value::ParseLimits;

    /// Both ways give the same outputs and the same errors.
    #[test]
    fn the_short_way_and_the_long_way_agree() {
        let inputs = [
            "null",
            "1",
            "-2.5",
            "\"text\"",
            "[]",
            "{}",
            "[3,[4],{\"a\":null}]",
            r#"{"a":{"b":[1,2,{"c":"x"}]},"n":7,"s":"five","t":true,"f":false,"z":null,"0":1}"#,
        ];
        let programs = [
            ".",
            ".a",
            ".a.b",
            ".a.b[2].c",
            ".a.b[-1]",
            ".a[.s]",
            ".[\"s\"]",
            ".[0]",
            ".[0][0]",
            ".n + 1",
            "1 + .n",
            ".n - .s",
            ".a + .z",
            ".z + .a",
            ".n / 0",
            ".n % 2",
            ".s * 3",
            "-.n",
            "-(.s)",
            ".n > 3 and .t",
            ".f or .z",
            ".z // .n",
            ".missing // \"none\"",
            ".a.q // .z // 3",
            "if .t then .n else .s end",
            "if .z then 1 end",
            "[.n, .s, .a.b[0]]",
            "[]",
            "[.n]",
            "{}",
            "{n: .n, s}",
            "{(.s): .n, \"k\": [.t]}",
            "{(.n): 1}",
            "\"a \\(.n) b \\(.a)\"",
            "@json",
            "@text",
            "@base64 \"x\\(.s)\"",
            ".a | .b | .[1]",
            "(.n, .s)",
            "[(.n, .s), .t]",
            "$input.n",
            "$input | .s",
            ".n == 7",
            ".a < .n",
            ".a.b.c",
            ".s.x",
            "{deviceId: .s, celsius: ((.n - 32) * 5 / 9)}",
            "[.[0], .[1]] == [3, [4]]",
            "not",
            ".n | tostring",
        ];
        let variables = ["context".into(), "input".into()];
        for program in programs {
            let compiled = Expression::compile(program, &variables).unwrap_or_else(|e| panic!("{program}: {e}"));
            let ast = &compiled.0.ast;
            for text in inputs {
                let input = Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON");
                let given = |_| input.clone();
                let cx = Context { now: Timestamp(0), limits: &Limits::default(), variables: &given };
                let mut long = Vec::new();
                let flow = Machine::new(&cx).run(ast, &input, &mut |value| {
                    long.push(value);
                    Ok(())
                });
                if !is_direct(ast) {
                    continue;
                }
                let short = Machine::new(&cx).direct(ast, &input).map(Cow::into_owned);
                match (flow, short) {
                    (Ok(()), Ok(value)) => assert_eq!(long, [value], "{program} on {text}"),
                    (Err(Stop::Error(long)), Err(Stop::Error(short))) => assert_eq!(long, short, "{program} on {text}"),
                    (long, short) => panic!("{program} on {text}: {long:?} and {short:?}"),
                }
            }
        }
    }

    #[test]
    fn what_workflows_write_goes_the_short_way() {
        for program in [".a.b", "{d: .d, c: ((.t - 32) * 5 / 9)}", ".c > 70 and .x != null", "\"a\\(.b)\"", ".a // 1"] {
            assert!(is_direct(&Expression::compile(program, &[]).expect("a program").0.ast), "{program}");
        }
        for program in [".[]", "first(.[])", "reduce .[] as $x (0; . + $x)", ".a?", "def f: f; f"] {
            assert!(!is_direct(&Expression::compile(program, &[]).expect("a program").0.ast), "{program}");
        }
    }
}
