//! Terms: what operators stand between.

use ecow::EcoString;

use super::{KEYWORDS, Parsed, Parser};
use crate::expression::ast::{Ast, Id, Part, Pattern};
use crate::expression::lexer::{Kind, Piece, Token};
use crate::value::Value;

impl Parser<'_> {
    /// A value and what is behind it without a space: `.a`, `[…]`, `?`.
    pub(super) fn term(&mut self) -> Parsed {
        let mut term = self.nested(Self::primary)?;
        loop {
            term = match self.peek().kind.clone() {
                Kind::Field(name) => {
                    self.at += 1;
                    let key = self.add(Ast::Literal(Value::String(name)))?;
                    self.index(term, key)?
                }
                Kind::Symbol(".") => {
                    self.at += 1;
                    match self.peek().kind {
                        Kind::Text(_) | Kind::Format(_) => {
                            let key = self.key_text()?;
                            self.index(term, key)?
                        }
                        Kind::Symbol("[") => term,
                        _ => return Err(self.unexpected("a key")),
                    }
                }
                Kind::Symbol("[") => {
                    self.at += 1;
                    self.bracket(term)?
                }
                Kind::Symbol("?") => {
                    self.at += 1;
                    self.add(Ast::Try(term, None))?
                }
                // The lexer takes `?` and `//` for the `?//` of patterns.
                Kind::Symbol("?//") => {
                    let token = self.peek().clone();
                    let behind = Token { kind: Kind::Symbol("//"), offset: token.offset + 1, len: 2 };
                    self.tokens[self.at] = behind;
                    self.add(Ast::Try(term, None))?
                }
                _ => return Ok(term),
            };
        }
    }

    /// Whether a `?` follows, which belongs to the step before it.
    pub(super) fn is_optional(&mut self) -> bool {
        self.take("?")
    }

    pub(super) fn index(&mut self, term: Id, key: Id) -> Parsed {
        let optional = self.is_optional();
        self.add(Ast::Index(term, key, optional))
    }

    /// After the `[` behind a term.
    pub(super) fn bracket(&mut self, term: Id) -> Parsed {
        if self.take("]") {
            let optional = self.is_optional();
            return self.add(Ast::Iterate(term, optional));
        }
        if self.take(":") {
            let to = self.query(false)?;
            self.expect("]")?;
            let optional = self.is_optional();
            return self.add(Ast::Slice(term, None, Some(to), optional));
        }
        let from = self.query(false)?;
        if self.take(":") {
            let to = if self.is("]") { None } else { Some(self.query(false)?) };
            self.expect("]")?;
            let optional = self.is_optional();
            return self.add(Ast::Slice(term, Some(from), to, optional));
        }
        self.expect("]")?;
        self.index(term, from)
    }

    pub(super) fn primary(&mut self) -> Parsed {
        let token = self.advance();
        match &token.kind {
            Kind::Number(number) => self.add(Ast::Literal(number.clone())),
            Kind::Text(pieces) => self.text("text".into(), pieces),
            Kind::Format(name) => match self.peek().kind.clone() {
                Kind::Text(pieces) => {
                    self.at += 1;
                    self.text(name.clone(), &pieces)
                }
                _ => self.add(Ast::Format(name.clone())),
            },
            Kind::Field(name) => {
                let whole = self.add(Ast::Identity)?;
                let key = self.add(Ast::Literal(Value::String(name.clone())))?;
                self.index(whole, key)
            }
            Kind::Variable(name) if name == "__loc__" => {
                let location = self.location(&token);
                self.add(Ast::Literal(location))
            }
            Kind::Variable(name) => self.add(Ast::Variable(name.clone(), token.place())),
            Kind::Name(name) => self.named(&token, name),
            Kind::Symbol("..") => self.add(Ast::Call("recurse".into(), Vec::new(), token.place())),
            Kind::Symbol(".") => {
                let whole = self.add(Ast::Identity)?;
                match self.peek().kind {
                    Kind::Text(_) | Kind::Format(_) => {
                        let key = self.key_text()?;
                        self.index(whole, key)
                    }
                    _ => Ok(whole),
                }
            }
            Kind::Symbol("-") => {
                let operand = self.nested(Self::term)?;
                self.add(Ast::Negate(operand))
            }
            Kind::Symbol("(") => {
                let inner = self.query(false)?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Symbol("[") => {
                let inner = if self.is("]") { None } else { Some(self.query(false)?) };
                self.expect("]")?;
                self.add(Ast::Array(inner))
            }
            Kind::Symbol("{") => self.object(),
            _ => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    pub(super) fn location(&self, token: &Token) -> Value {
        let line = 1 + self.source[..token.offset].bytes().filter(|byte| *byte == b'\n').count();
        [("file", Value::from("<top-level>")), ("line", Value::from(line))].into_iter().collect()
    }

    pub(super) fn named(&mut self, token: &Token, name: &EcoString) -> Parsed {
        match name.as_str() {
            "if" => self.nested(Self::condition),
            "try" => {
                let body = self.nested(Self::term)?;
                let handler = if self.take_name("catch") { Some(self.nested(Self::term)?) } else { None };
                self.add(Ast::Try(body, handler))
            }
            "reduce" => {
                let (source, patterns) = self.fold_head()?;
                let init = self.query(false)?;
                self.expect(";")?;
                let update = self.query(false)?;
                self.expect(")")?;
                self.add(Ast::Reduce(source, patterns, init, update))
            }
            "foreach" => {
                let (source, patterns) = self.fold_head()?;
                let init = self.query(false)?;
                self.expect(";")?;
                let update = self.query(false)?;
                let extract = if self.take(";") { Some(self.query(false)?) } else { None };
                self.expect(")")?;
                self.add(Ast::Foreach(source, patterns, init, update, extract))
            }
            "break" => {
                let name = self.variable_name()?;
                self.add(Ast::Break(name, token.place()))
            }
            "null" => self.add(Ast::Literal(Value::Null)),
            "true" => self.add(Ast::Literal(Value::Bool(true))),
            "false" => self.add(Ast::Literal(Value::Bool(false))),
            keyword if KEYWORDS.contains(&keyword) => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
            _ => self.call(token, name),
        }
    }

    pub(super) fn fold_head(&mut self) -> Parsed<(Id, Vec<Pattern>)> {
        let source = self.expression(0)?;
        self.expect_name("as")?;
        let patterns = self.patterns()?;
        self.expect("(")?;
        Ok((source, patterns))
    }

    pub(super) fn condition(&mut self) -> Parsed {
        let condition = self.query(false)?;
        self.expect_name("then")?;
        let then = self.query(false)?;
        let otherwise = if self.take_name("elif") {
            Some(self.nested(Self::condition)?)
        } else if self.take_name("else") {
            let otherwise = self.query(false)?;
            self.expect_name("end")?;
            Some(otherwise)
        } else {
            self.expect_name("end")?;
            None
        };
        self.add(Ast::If(condition, then, otherwise))
    }

    pub(super) fn call(&mut self, token: &Token, name: &EcoString) -> Parsed {
        let mut arguments = Vec::new();
        if self.take("(") {
            loop {
                arguments.push(self.query(false)?);
                if !self.take(";") {
                    break;
                }
            }
            self.expect(")")?;
        }
        self.add(Ast::Call(name.clone(), arguments, token.place()))
    }

    pub(super) fn text(&mut self, format: EcoString, pieces: &[Piece]) -> Parsed {
        let mut parts = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Plain(text) if text.is_empty() => {}
                Piece::Plain(text) => parts.push(Part::Plain(text.clone())),
                Piece::Filter(tokens) => {
                    let outer = std::mem::replace(&mut self.tokens, tokens.clone());
                    let at = std::mem::take(&mut self.at);
                    let filter = self.query(false).and_then(|filter| self.end().map(|()| filter));
                    self.tokens = outer;
                    self.at = at;
                    parts.push(Part::Filter(filter?));
                }
            }
        }
        match parts.as_slice() {
            [] => self.add(Ast::Literal(Value::from(""))),
            [Part::Plain(text)] => {
                let text = Value::String(text.clone());
                self.add(Ast::Literal(text))
            }
            _ => self.add(Ast::Text(format, parts)),
        }
    }

    pub(super) fn object(&mut self) -> Parsed {
        let mut members = Vec::new();
        while !self.take("}") {
            members.push(self.member()?);
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        self.add(Ast::Object(members))
    }

    pub(super) fn member(&mut self) -> Parsed<(Id, Option<Id>)> {
        let token = self.peek().clone();
        let (key, shorthand) = match &token.kind {
            Kind::Name(name) => {
                self.at += 1;
                (self.add(Ast::Literal(Value::String(name.clone())))?, None)
            }
            Kind::Variable(name) if name == "__loc__" => {
                self.at += 1;
                let location = self.location(&token);
                let value = self.add(Ast::Literal(location))?;
                return Ok((self.add(Ast::Literal(Value::from("__loc__")))?, Some(value)));
            }
            Kind::Variable(name) => {
                self.at += 1;
                let value = self.add(Ast::Variable(name.clone(), token.place()))?;
                if self.take(":") {
                    return Ok((value, Some(self.member_value()?)));
                }
                return Ok((self.add(Ast::Literal(Value::String(name.clone())))?, Some(value)));
            }
            Kind::Text(_) | Kind::Format(_) => (self.key_text()?, None),
            Kind::Symbol("(") => (self.key_filter()?, Some("`:`")),
            _ => return Err(self.unexpected("a key")),
        };
        if self.take(":") {
            return Ok((key, Some(self.member_value()?)));
        }
        if let Some(wanted) = shorthand {
            return Err(self.unexpected(wanted));
        }
        if !matches!(self.tree.get(key), Ast::Literal(_)) {
            return Ok((key, None));
        }
        let whole = self.add(Ast::Identity)?;
        Ok((key, Some(self.add(Ast::Index(whole, key, false))?)))
    }

    /// A member's value: filters joined by `|`, without commas.
    pub(super) fn member_value(&mut self) -> Parsed {
        let mut stages = vec![self.expression(0)?];
        while self.take("|") {
            stages.push(self.expression(0)?);
        }
        self.joined(&mut stages, Ast::Pipe)
    }
}
