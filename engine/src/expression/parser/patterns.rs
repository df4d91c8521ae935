//! Patterns that take values apart.

use ecow::EcoString;

use super::{Parsed, Parser, error_at};
use crate::expression::ast::{Ast, Id, Pattern};
use crate::expression::lexer::Kind;
use crate::value::Value;

impl Parser<'_> {
    pub(super) fn patterns(&mut self) -> Parsed<Vec<Pattern>> {
        let mut patterns = vec![self.pattern()?];
        while self.take("?//") {
            patterns.push(self.pattern()?);
        }
        Ok(patterns)
    }

    pub(super) fn pattern(&mut self) -> Parsed<Pattern> {
        self.nested(|p| {
            if p.take("[") {
                let mut items = vec![p.pattern()?];
                while p.take(",") {
                    items.push(p.pattern()?);
                }
                p.expect("]")?;
                return Ok(Pattern::Array(items));
            }
            if !p.take("{") {
                return Ok(Pattern::Variable(p.variable_name()?));
            }
            let mut members = vec![p.pattern_member()?];
            while p.take(",") {
                members.push(p.pattern_member()?);
            }
            p.expect("}")?;
            Ok(Pattern::Object(members))
        })
    }

    pub(super) fn pattern_member(&mut self) -> Parsed<(Id, Option<EcoString>, Option<Pattern>)> {
        let (key, name) = match self.peek().kind.clone() {
            Kind::Variable(name) => {
                self.at += 1;
                (self.add(Ast::Literal(Value::String(name.clone())))?, Some(name))
            }
            Kind::Name(name) => {
                self.at += 1;
                (self.add(Ast::Literal(Value::String(name)))?, None)
            }
            Kind::Text(_) | Kind::Format(_) => (self.key_text()?, None),
            Kind::Symbol("(") => (self.key_filter()?, None),
            _ => return Err(self.unexpected("a key")),
        };
        let pattern = if self.take(":") { Some(self.pattern()?) } else { None };
        if name.is_none() && pattern.is_none() {
            return Err(self.unexpected("`:`"));
        }
        Ok((key, name, pattern))
    }

    /// `"…"` or `@format "…"` as a key.
    pub(super) fn key_text(&mut self) -> Parsed {
        let token = self.advance();
        match (token.kind, self.peek().kind.clone()) {
            (Kind::Text(pieces), _) => self.text("text".into(), &pieces),
            (Kind::Format(format), Kind::Text(pieces)) => {
                self.at += 1;
                self.text(format, &pieces)
            }
            _ => Err(self.unexpected("a text")),
        }
    }

    /// `(…)` as a key.
    pub(super) fn key_filter(&mut self) -> Parsed {
        let token = self.advance();
        let key = self.query(false)?;
        self.expect(")")?;
        match self.tree.get(key) {
            Ast::Literal(value) if value.as_str().is_none() => {
                let shown = crate::expression::errors::typed(value);
                Err(error_at(&token, format!("Cannot use {shown} as object key")))
            }
            _ => Ok(key),
        }
    }
}
