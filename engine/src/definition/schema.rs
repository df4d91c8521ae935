//! JSON Schema, compiled once. Draft 2020-12 unless the schema names another; nothing is ever fetched.

use std::fmt;
use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};

use super::schema_value::ValueJson;
use crate::value::Value;

/// Most values in a schema.
const NODES_MAX: usize = 20_000;
/// Most lists and maps within each other in a schema.
const DEPTH_MAX: usize = 64;
/// Steps a pattern with backtracking may take on one string before it counts as not matching.
const BACKTRACK_MAX: usize = 100_000;
/// Most memory of a compiled pattern.
const PATTERN_BYTES_MAX: usize = 1 << 20;
/// Violations that are reported; there may be one for each item of a long list.
const VIOLATIONS_MAX: usize = 20;
/// Longest message; a message may quote the instance.
const MESSAGE_CHARS_MAX: usize = 300;

/// A compiled JSON Schema. Cheap to clone.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<Validator<ValueJson>>,
}

/// Why a schema can't be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaError {
    /// JSON Pointer into the schema.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

/// What an instance does not fulfil.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaViolation {
    /// JSON Pointer into the instance.
    pub instance: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for SchemaViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.instance.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.instance, self.message)
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// Compiles a schema: a map, or `true` or `false`.
    ///
    /// # Errors
    /// When it is no schema, refers to another document, or is too large.
    pub fn compile(schema: &Value) -> Result<Schema, SchemaError> {
        if count(schema, DEPTH_MAX).is_none_or(|nodes| nodes > NODES_MAX) {
            let message = format!("larger than {NODES_MAX} values or deeper than {DEPTH_MAX}");
            return Err(SchemaError { pointer: String::new(), message });
        }
        let patterns = PatternOptions::fancy_regex()
            .backtrack_limit(BACKTRACK_MAX)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX);
        jsonschema::options_for::<ValueJson>()
            .offline()
            .with_pattern_options(patterns)
            .build(&serde_json::Value::from(schema))
            .map(|validator| Schema { validator: Arc::new(validator) })
            .map_err(|error| SchemaError { pointer: error.instance_path().to_string(), message: short(&error) })
    }

    /// Checks an instance.
    ///
    /// # Errors
    /// The first violations, at most 20.
    pub fn validate(&self, instance: &Value) -> Result<(), Vec<SchemaViolation>> {
        if self.validator.is_valid(instance) {
            return Ok(());
        }
        let violation = |error: jsonschema::ValidationError<'_>| SchemaViolation {
            instance: error.instance_path().to_string(),
            message: short(&error),
        };
        Err(self.validator.iter_errors(instance).take(VIOLATIONS_MAX).map(violation).collect())
    }
}

fn short(error: &jsonschema::ValidationError<'_>) -> String {
    let message = error.to_string();
    if message.chars().count() <= MESSAGE_CHARS_MAX {
        return message;
    }
    message.chars().take(MESSAGE_CHARS_MAX).chain(['…']).collect()
}

/// Number of values; `None` when deeper than `depth`.
fn count(value: &Value, depth: usize) -> Option<usize> {
    match value {
        Value::Array(items) => items.iter().try_fold(1, |sum, v| Some(sum + count(v, depth.checked_sub(1)?)?)),
        Value::Object(members) => {
            members.iter().try_fold(1, |sum, (_, v)| Some(sum + count(v, depth.checked_sub(1)?)?))
        }
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(json: serde_json::Value) -> Result<Schema, SchemaError> {
        Schema::compile(&Value::from(json))
    }

    #[test]
    fn violations_name_their_place() {
        let schema = schema(json!({
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "integer"}, "tags": {"items": {"enum": ["a", 1, null]}, "uniqueItems": true}},
            "propertyNames": {"maxLength": 4},
        }))
        .expect("a schema");
        let check = |instance: serde_json::Value| match schema.validate(&Value::from(instance)) {
            Ok(()) => Vec::new(),
            Err(violations) => violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        };
        assert_eq!(check(json!({"id": 1, "tags": ["a", 1.0, null]})), Vec::<String>::new());
        assert_eq!(check(json!({"id": 1.0})), Vec::<String>::new());
        assert_eq!(check(json!({})), ["\"id\" is a required property"]);
        assert_eq!(check(json!({"id": "x"})), ["/id: \"x\" is not of type \"integer\""]);
        assert_eq!(check(json!({"id": 1, "tags": ["b"]})), ["/tags/0: \"b\" is not one of \"a\", 1 or null"]);
        assert_eq!(check(json!({"id": 1, "tags": ["a", "a"]})), ["/tags: [\"a\",\"a\"] has non-unique elements"]);
        assert_eq!(check(json!({"id": 1, "toolong": 1})).len(), 1);
    }

    #[test]
    fn what_is_no_schema() {
        let error = |json| schema(json).expect_err("no schema");
        assert_eq!(error(json!({"properties": {"a": {"type": "strng"}}})).pointer, "/properties/a/type");
        assert!(error(json!({"$ref": "https://a.example/b"})).message.contains("a.example"));
        assert!(schema(json!({"pattern": "("})).is_err());
        let deep = (0..100).fold(json!(true), |inner, _| json!({"not": inner}));
        assert!(error(deep).message.contains("deeper"));
    }

    #[test]
    fn a_pattern_that_backtracks_for_ever_is_cut_short() {
        let schema = schema(json!({"pattern": "^(?=(a+)+$)b"})).expect("a schema");
        assert!(schema.validate(&Value::from(json!("a".repeat(40) + "!"))).is_err());
    }
}
