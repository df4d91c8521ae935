//! For benchmarks alone: with the feature `jaq-alone`, which no build of the product has, `Expression::evaluate` asks jaq.
//!
//! What the engine would be with jaq: each expression is compiled once, and each evaluation hands its input, and the runtime
//! arguments that it names, over as jaq's values and takes the result back as ours. Nothing here counts a budget.

use bytes::Bytes;
use ecow::{EcoString, eco_format};
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Filter, Vars, data, unwrap_valr};
use jaq_json::{Num, Val};

use super::errors::Stop;
use super::{Context, SyntaxError};
use crate::value::{Map, Value};

pub(super) struct Jaq {
    filter: Filter<data::JustLut<Val>>,
    /// Of each runtime argument, whether the expression names it.
    named: Vec<bool>,
}

impl Jaq {
    pub fn compile(source: &str, variables: &[EcoString]) -> Result<Jaq, SyntaxError> {
        let refused = |message| SyntaxError { message, offset: 0, len: source.len() };
        let names: Vec<String> = variables.iter().map(|name| format!("${name}")).collect();
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let arena = Arena::default();
        let modules = Loader::new(definitions).load(&arena, File { code: source, path: () });
        let modules = modules.map_err(|errors| refused(format!("jaq does not load it: {errors:?}")))?;
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let compiler = Compiler::default().with_funs(functions).with_global_vars(names.iter().map(String::as_str));
        let filter = compiler.compile(modules);
        let filter = filter.map_err(|errors| refused(format!("jaq does not compile it: {errors:?}")))?;
        Ok(Jaq { filter, named: names.iter().map(|name| source.contains(name)).collect() })
    }

    /// The first output.
    pub fn first<'c>(&self, input: &Value, cx: &'c Context<'c>) -> Result<Option<Value>, Stop> {
        let argument = |(index, named): (usize, &bool)| if *named { to(&(cx.variables)(index)) } else { Val::Null };
        let arguments = Vars::new(self.named.iter().enumerate().map(argument));
        let context = Ctx::<data::JustLut<Val>>::new(&self.filter.lut, arguments);
        let output = self.filter.id.run((context, to(input))).map(unwrap_valr).next().transpose();
        output.map(|output| output.as_ref().map(from)).map_err(|error| Stop::Error(from(&error.into_val())))
    }
}

fn to(value: &Value) -> Val {
    let text = |text: &EcoString| Val::utf8_str(Bytes::copy_from_slice(text.as_bytes()));
    match value {
        Value::Null => Val::Null,
        Value::Bool(truth) => Val::Bool(*truth),
        Value::Int(number) => Val::Num(Num::from_integral(*number)),
        Value::Float(number) => Val::from(*number),
        Value::Decimal(number) => Val::from(number.to_f64()),
        Value::String(string) => text(string),
        Value::Array(list) => list.iter().map(to).collect(),
        Value::Object(map) => Val::obj(map.iter().map(|(key, member)| (text(key), to(member))).collect()),
    }
}

fn from(value: &Val) -> Value {
    let text = |bytes: &Bytes| EcoString::from(String::from_utf8_lossy(bytes));
    match value {
        Val::Null => Value::Null,
        Val::Bool(truth) => Value::Bool(*truth),
        Val::Num(Num::Int(number)) => Value::from(*number as i64),
        Val::Num(Num::Float(number)) => Value::number(*number),
        Val::Num(number) => Value::number(number.to_string().parse().unwrap_or(f64::NAN)),
        Val::BStr(bytes) | Val::TStr(bytes) => Value::String(text(bytes)),
        Val::Arr(list) => list.iter().map(from).collect(),
        Val::Obj(members) => {
            let mut map = Map::with_capacity(members.len());
            for (key, member) in members.iter() {
                match key {
                    Val::BStr(bytes) | Val::TStr(bytes) => map.insert(text(bytes), from(member)),
                    other => map.insert(eco_format!("{other}"), from(member)),
                };
            }
            Value::Object(map)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::{Context, Expression, Limits, Way};
    use super::*;
    use crate::time::Timestamp;
    use crate::value::ParseLimits;

    #[test]
    fn jaq_answers_what_benchmarks_ask_as_ours() {
        let input =
            br#"{"deviceId":"device-0042","temperature":98.6,"tags":["hot",1,null,true],"position":{"lat":48.1}}"#;
        let input = Value::parse(input, &ParseLimits::default()).expect("JSON");
        let limits = Limits::default();
        let argument = |index: usize| Cow::Owned(Value::from(index as i64 + 7));
        let cx = Context { now: Timestamp(0), limits: &limits, variables: &argument, spent: None };
        let names = [EcoString::from("context"), EcoString::from("input")];
        for source in [
            "{deviceId, celsius: ((.temperature - 32) * 5 / 9)}",
            "(.temperature - 32) * 5 / 9",
            ".temperature > 70",
            "[., $input]",
            ".missing",
            "empty",
        ] {
            let expression = Expression::compile(source, &names).expect("an expression");
            let ours = expression.outputs(Way::Machine, &input, &cx, 1).0.pop().unwrap_or_default();
            assert_eq!(expression.evaluate(&input, &cx), Ok(ours), "{source}");
        }
        let failing = Expression::compile("error(\"no\")", &names).expect("an expression");
        assert_eq!(failing.evaluate(&input, &cx).expect_err("an error").message(), "no");
    }
}
