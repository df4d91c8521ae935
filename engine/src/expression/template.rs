//! Templates: values of a definition with expressions inside.

use ecow::EcoString;

use super::{Context, EvaluateError, Expression};
use crate::value::{Map, Value};

/// A value that is known or computed.
#[derive(Clone, Debug)]
pub enum Template {
    /// Written out.
    Constant(Value),
    /// `${ … }`.
    Expression(Expression),
    /// A list with expressions inside.
    Array(Vec<Template>),
    /// A map with expressions inside; no key comes twice.
    Object(Vec<(EcoString, Template)>),
}

impl Template {
    /// Its value on `input`.
    ///
    /// # Errors
    /// What an expression threw, or the limit that it reached.
    pub fn evaluate<'c>(&self, input: &Value, cx: &'c Context<'c>) -> Result<Value, EvaluateError> {
        match self {
            Template::Constant(value) => Ok(value.clone()),
            Template::Expression(expression) => expression.evaluate(input, cx),
            Template::Array(items) => items.iter().map(|item| item.evaluate(input, cx)).collect(),
            Template::Object(members) => {
                let mut map = Map::with_capacity(members.len());
                for (key, member) in members {
                    map.push_new(key.clone(), member.evaluate(input, cx)?);
                }
                Ok(Value::Object(map))
            }
        }
    }

    /// The same, with every part that holds no expression made one constant.
    #[must_use]
    pub fn folded(self) -> Template {
        match self {
            Template::Array(items) => {
                let items: Vec<Template> = items.into_iter().map(Template::folded).collect();
                match items.iter().map(Template::constant).collect::<Option<Vec<Value>>>() {
                    Some(values) => Template::Constant(values.into_iter().collect()),
                    None => Template::Array(items),
                }
            }
            Template::Object(members) => {
                let members: Vec<_> = members.into_iter().map(|(key, member)| (key, member.folded())).collect();
                let constants = members.iter().map(|(key, member)| Some((key.clone(), member.constant()?)));
                match constants.collect::<Option<Map>>() {
                    Some(map) => Template::Constant(Value::Object(map)),
                    None => Template::Object(members),
                }
            }
            other => other,
        }
    }

    fn constant(&self) -> Option<Value> {
        match self {
            Template::Constant(value) => Some(value.clone()),
            _ => None,
        }
    }
}

/// The inside of a text that is, but for space around it, exactly one `${ … }`.
#[must_use]
pub fn strip_wrapper(text: &str) -> Option<&str> {
    text.trim().strip_prefix("${")?.strip_suffix('}')
}
