//! Expressions and templates, and what can be told about them before they run.

use super::{Compiler, Scope};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::string_place::span_in_string;
use crate::expression::{self, Expression, Template};
use crate::value::Value;

impl Compiler<'_> {
    /// A field that is an expression: with or without `${ }`, as the examples of the DSL write it.
    pub(super) fn expression(&mut self, node: &Node, what: &str, scope: &Scope) -> Option<Expression> {
        let Kind::String(text, _) = &node.kind else {
            let message = format!("{what} must be an expression, not {}", node.describe());
            let hint = match node.kind {
                Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {
                    format!("write ${{ {} }}", &self.source.text[node.span.range()])
                }
                _ => "write a jq expression such as ${ .temperature > 38 }".to_owned(),
            };
            self.error_with("TRN0203", node.span, message, hint);
            return None;
        };
        let inside = expression::strip_wrapper(text).unwrap_or(text);
        self.compile_inside(node, text, inside, scope)
    }

    /// Compiles `inside`, a part of `text`, the string at `node`.
    fn compile_inside(&mut self, node: &Node, text: &str, inside: &str, scope: &Scope) -> Option<Expression> {
        let begin = (inside.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
        if inside.trim().is_empty() {
            self.error_with("TRN0401", node.span, "the expression is empty", "`.` is the input itself");
            return None;
        }
        self.check_secrets(node, inside, begin);
        match Expression::compile(inside, &scope.variables) {
            Ok(expression) => {
                if expression.may_give_several() {
                    let hint = "only the first is taken; collect them with [ … ], or choose one with first(…)";
                    self.warning("TRN0802", node.span, "the expression may give several values", hint);
                }
                Some(expression)
            }
            Err(error) => {
                let start = begin + error.offset;
                let span = span_in_string(self.source, node, start..start + error.len.max(1));
                let hint = if inside.contains("${") {
                    Some(
                        "a string is one ${ … } from begin to end; join texts inside: ${ \"\\(.a) and \\(.b)\" }"
                            .to_owned(),
                    )
                } else {
                    self.expression_hint(&error.message, scope)
                };
                // The hint lists what is known, or better.
                let message = error.message.split(": here are $").next().unwrap_or(&error.message).to_owned();
                self.report(crate::definition::Severity::Error, "TRN0401", span, message, hint);
                None
            }
        }
    }

    /// Names the variables when one is unknown.
    fn expression_hint(&self, message: &str, scope: &Scope) -> Option<String> {
        let at = message.find('$')?;
        let name: String = message[at + 1..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if scope.variables.iter().any(|v| *v == name) {
            return None;
        }
        if let Some(near) = crate::definition::suggest::nearest(&name, scope.variables.iter().map(|v| v.as_str())) {
            return Some(format!("did you mean ${near}?"));
        }
        let all: Vec<String> = scope.variables.iter().map(|v| format!("${v}")).collect();
        Some(format!("known here: {}", all.join(", ")))
    }

    /// `$secrets.name` of a secret that `use.secrets` does not list.
    fn check_secrets(&mut self, node: &Node, inside: &str, begin: usize) {
        for (at, name) in secrets_used(inside) {
            if self.uses.secrets.iter().any(|s| *s == name) {
                continue;
            }
            let start = begin + at;
            let span = span_in_string(self.source, node, start..start + name.len());
            let near = crate::definition::suggest::nearest(name, self.uses.secrets.iter().map(|s| s.as_str()));
            let hint = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("add it to `use: {{ secrets: [{name}] }}`"),
            };
            self.error_with("TRN0303", span, format!("the secret \"{name}\" is not declared"), hint);
        }
    }

    /// Any value whose strings of the form `${ … }` are expressions, at any depth.
    pub(super) fn template(&mut self, node: &Node, scope: &Scope) -> Option<Template> {
        match &node.kind {
            Kind::String(text, _) => self.string_template(node, text, scope),
            Kind::Array(items) => {
                let parts: Vec<Option<Template>> = items.iter().map(|item| self.template(item, scope)).collect();
                let parts: Vec<Template> = parts.into_iter().collect::<Option<_>>()?;
                Some(Template::Array(parts).folded())
            }
            Kind::Object(entries) => {
                let parts: Vec<Option<_>> = entries.iter().map(|entry| self.member(entry, scope)).collect();
                Some(Template::Object(parts.into_iter().collect::<Option<_>>()?).folded())
            }
            _ => Some(Template::Constant(node.to_value())),
        }
    }

    fn member(&mut self, entry: &Entry, scope: &Scope) -> Option<(ecow::EcoString, Template)> {
        Some((entry.key.clone(), self.template(&entry.value, scope)?))
    }

    fn string_template(&mut self, node: &Node, text: &str, scope: &Scope) -> Option<Template> {
        if let Some(inside) = expression::strip_wrapper(text) {
            return self.compile_inside(node, text, inside, scope).map(Template::Expression);
        }
        if self.loose
            && let Ok(expression) = Expression::compile(text, &scope.variables)
        {
            self.check_secrets(node, text, 0);
            return Some(Template::Expression(expression));
        }
        if text.contains("${") {
            let hint =
                "only a string that is one ${ … } from begin to end is evaluated; join texts inside: ${ \"a \\(.b)\" }";
            self.warning("TRN0803", node.span, "this `${` stays as it is written", hint);
        }
        Some(Template::Constant(Value::String(text.into())))
    }

    /// `from` and `as`: an expression, or a map that is a template.
    pub(super) fn transformation(&mut self, node: &Node, what: &str, scope: &Scope) -> Option<Template> {
        match &node.kind {
            Kind::String(..) => self.expression(node, what, scope).map(Template::Expression),
            Kind::Object(_) => self.template(node, scope),
            _ => {
                self.wrong_type(node, what, "an expression or a map");
                None
            }
        }
    }

    /// `.`: the value itself.
    pub(super) fn identity(&self, scope: &Scope) -> Option<Template> {
        Expression::compile(".", &scope.variables).ok().map(Template::Expression)
    }
}

/// The secrets that an expression names in plain sight, with the offsets of the names: `$secrets.name`,
/// `$secrets."name"`, `$secrets["name"]`. What stands in string literals is no use of a secret, what stands in their
/// interpolations is.
fn secrets_used(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut used = Vec::new();
    // Depth of parentheses at which each open interpolation began; a string literal is open when `in_string`.
    let mut interpolations: Vec<usize> = Vec::new();
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string && bytes.get(at + 1) == Some(&b'(') => {
                interpolations.push(depth);
                depth += 1;
                in_string = false;
                at += 1;
            }
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'(' => depth += 1,
            b')' => {
                depth = depth.saturating_sub(1);
                if interpolations.last() == Some(&depth) {
                    interpolations.pop();
                    in_string = true;
                }
            }
            b'#' => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at),
            b'$' => {
                if let Some(name) = secret_name(text, at) {
                    used.push(name);
                }
            }
            _ => {}
        }
        at += 1;
    }
    used
}

/// The name after a `$secrets` that begins at `at`.
fn secret_name(text: &str, at: usize) -> Option<(usize, &str)> {
    const VARIABLE: &str = "$secrets";
    let rest = text[at..].strip_prefix(VARIABLE)?;
    let skipped = ["[\"", ".[\"", ".\"", "."].into_iter().find(|p| rest.starts_with(p))?;
    let start = at + VARIABLE.len() + skipped.len();
    let quoted = skipped.ends_with('"');
    let end = |c: char| if quoted { c == '"' } else { !(c.is_ascii_alphanumeric() || c == '_') };
    let length = text[start..].find(end).unwrap_or(text.len() - start);
    (length > 0).then(|| (start, &text[start..start + length]))
}

#[cfg(test)]
mod tests {
    use super::secrets_used;

    #[test]
    fn secrets_in_plain_sight() {
        let names = |text| secrets_used(text).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names("$secrets.a + $secrets[\"b-c\"] + $secrets.\"d\" + $secrets[$x]"), ["a", "b-c", "d"]);
        assert_eq!(names(r#""$secrets.no \($secrets.yes | "\(.x) $secrets.no")" # $secrets.no"#), ["yes"]);
        assert_eq!(names("$secretsx.a | $secrets"), Vec::<&str>::new());
    }
}
