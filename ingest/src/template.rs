//! Settings that are a text, or an expression `${ … }` over a message or an event.

use std::borrow::Cow;

use ecow::EcoString;
use trinity_engine::expression::{Context, Expression, Limits, Reads, strip_wrapper};
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;

use crate::config::ConfigError;

/// What one evaluation may use up: a mapping runs for every message, so it gets far less than a task.
const LIMITS: Limits = Limits { steps_max: 100_000, memory_max: 16 << 20, depth_max: 1_000 };

/// A text that stands for itself, or an expression.
#[derive(Clone, Debug)]
pub(crate) enum Template {
    Text(EcoString),
    Expression(Expression, Reads),
}

impl Template {
    /// Reads a setting.
    pub(crate) fn compile(setting: &str, text: &str) -> Result<Template, ConfigError> {
        let Some(source) = strip_wrapper(text) else { return Ok(Template::Text(text.into())) };
        match Expression::compile(source, &[]) {
            Ok(expression) => {
                let reads = expression.reads();
                Ok(Template::Expression(expression, reads))
            }
            Err(error) => Err(ConfigError::new(setting, format!("'{text}' is no expression: {error}"))),
        }
    }

    /// Its text for an input, which is made only for an expression, with the members at least that it looks at; `None` when
    /// that gives null.
    pub(crate) fn text(
        &self,
        now: Timestamp,
        input: impl FnOnce(&Reads) -> Value,
    ) -> Result<Option<EcoString>, String> {
        let (expression, reads) = match self {
            Template::Text(text) => return Ok(Some(text.clone())),
            Template::Expression(expression, reads) => (expression, reads),
        };
        let context = Context { now, limits: &LIMITS, variables: &|_| Cow::Owned(Value::Null), spent: None };
        match expression.evaluate(&input(reads), &context) {
            Ok(Value::Null) => Ok(None),
            Ok(Value::String(text)) => Ok(Some(text)),
            Ok(value) if value.is_container() => Err(format!("gives an {}, not a text", value.type_name())),
            Ok(value) => Ok(Some(value.to_json().into())),
            Err(error) => Err(error.message()),
        }
    }
}
