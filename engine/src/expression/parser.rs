//! Tokens to a syntax tree, by jq's grammar and precedence.

use ecow::EcoString;

use super::SyntaxError;
use super::arithmetic;
use super::ast::{Assignment, Ast, Function, Id, Operator, Part, Pattern, Tree};
use super::lexer::{Kind, Lexer, Piece, Token};
use crate::value::Value;

/// The deepest nesting of a program's text.
const NESTING_MAX: u32 = 200;

/// Names that a function or a value can't have.
const KEYWORDS: [&str; 19] = [
    "as", "def", "module", "import", "include", "if", "then", "else", "elif", "reduce", "foreach", "end", "and", "or",
    "try", "catch", "label", "break", "__loc__",
];

pub(super) struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nesting: u32,
    tree: Tree,
}

type Parsed<T = Id> = Result<T, SyntaxError>;

/// What a binary operator makes, and how strongly it binds.
enum Infix {
    Alternative,
    Assign(Assignment),
    Or,
    And,
    Binary(Operator),
}

fn infix(kind: &Kind) -> Option<(Infix, u8)> {
    use {Assignment as A, Operator as O};
    Some(match kind {
        Kind::Symbol(symbol) => match *symbol {
            "//" => (Infix::Alternative, 1),
            "=" => (Infix::Assign(A::Set), 2),
            "|=" => (Infix::Assign(A::Update), 2),
            "+=" => (Infix::Assign(A::Modify(O::Add)), 2),
            "-=" => (Infix::Assign(A::Modify(O::Subtract)), 2),
            "*=" => (Infix::Assign(A::Modify(O::Multiply)), 2),
            "/=" => (Infix::Assign(A::Modify(O::Divide)), 2),
            "%=" => (Infix::Assign(A::Modify(O::Modulo)), 2),
            "//=" => (Infix::Assign(A::Default), 2),
            "==" => (Infix::Binary(O::Equal), 5),
            "!=" => (Infix::Binary(O::Unequal), 5),
            "<" => (Infix::Binary(O::Less), 5),
            "<=" => (Infix::Binary(O::LessOrEqual), 5),
            ">" => (Infix::Binary(O::Greater), 5),
            ">=" => (Infix::Binary(O::GreaterOrEqual), 5),
            "+" => (Infix::Binary(O::Add), 6),
            "-" => (Infix::Binary(O::Subtract), 6),
            "*" => (Infix::Binary(O::Multiply), 7),
            "/" => (Infix::Binary(O::Divide), 7),
            "%" => (Infix::Binary(O::Modulo), 7),
            _ => return None,
        },
        Kind::Name(name) if name == "or" => (Infix::Or, 3),
        Kind::Name(name) if name == "and" => (Infix::And, 4),
        _ => return None,
    })
}

/// Assignments and comparisons stand alone: `1 < 2 < 3` is an error.
const fn chains(strength: u8) -> bool {
    !matches!(strength, 2 | 5)
}

impl<'a> Parser<'a> {
    pub fn new(source: &'a str) -> Parsed<Parser<'a>> {
        let tokens = Lexer::new(source).tokens()?;
        Ok(Parser { source, tokens, at: 0, nesting: 0, tree: Tree::default() })
    }

    /// A whole program.
    pub fn program(mut self) -> Parsed<(Tree, Id)> {
        let root = self.query(true)?;
        self.end()?;
        Ok((self.tree, root))
    }

    /// Only definitions, as in the prelude.
    pub fn definitions(mut self) -> Parsed<(Tree, Vec<Function>)> {
        let mut functions = Vec::new();
        while self.is_name("def") {
            functions.push(self.function()?);
        }
        self.end()?;
        Ok((self.tree, functions))
    }

    fn end(&self) -> Parsed<()> {
        if self.peek().kind == Kind::End { Ok(()) } else { Err(self.unexpected("an operator or the end")) }
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(&self.peek().kind, Kind::Symbol(own) if *own == symbol)
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.at += usize::from(found);
        found
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(&self.peek().kind, Kind::Name(own) if own == name)
    }

    fn take_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed<()> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn expect_name(&mut self, name: &str) -> Parsed<()> {
        if self.take_name(name) { Ok(()) } else { Err(self.unexpected(&format!("`{name}`"))) }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        let token = self.peek();
        let found = match &token.kind {
            Kind::End => "the end".to_owned(),
            Kind::Name(name) => format!("`{name}`"),
            Kind::Field(name) => format!("`.{name}`"),
            Kind::Variable(name) => format!("`${name}`"),
            Kind::Format(name) => format!("`@{name}`"),
            Kind::Symbol(symbol) => format!("`{symbol}`"),
            Kind::Number(..) => "a number".to_owned(),
            Kind::Text(_) => "a text".to_owned(),
        };
        error_at(token, format!("expected {wanted}, found {found}"))
    }

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(error_at(self.peek(), "the expression is nested too deep".into()));
        }
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }

    fn add(&mut self, ast: Ast) -> Parsed {
        let place = self.peek().place();
        self.tree.add(ast, place)
    }

    /// Filters joined by `|` and `,`. `def`, `label` and `as` reach to its end. `top`: a program, which may be empty.
    fn query(&mut self, top: bool) -> Parsed {
        self.nested(|p| p.query_inside(top))
    }

    fn query_inside(&mut self, top: bool) -> Parsed {
        let (mut stages, mut outputs) = (Vec::new(), Vec::new());
        loop {
            let bound = match &self.peek().kind {
                Kind::End if top && stages.is_empty() && outputs.is_empty() => return self.add(Ast::Identity),
                Kind::Name(name) if name == "def" => Some(self.define(top)?),
                Kind::Name(name) if name == "label" => Some(self.label()?),
                _ => None,
            };
            let reaches_the_end = bound.is_some();
            let (output, reaches_the_end) = match bound {
                Some(output) => (output, reaches_the_end),
                None => {
                    let left = self.expression(0)?;
                    if self.take_name("as") { (self.bind(left)?, true) } else { (left, false) }
                }
            };
            outputs.push(output);
            if !reaches_the_end && self.take(",") {
                continue;
            }
            let stage = self.joined(&mut outputs, Ast::Comma)?;
            stages.push(stage);
            if reaches_the_end || !self.take("|") {
                return self.joined(&mut stages, Ast::Pipe);
            }
        }
    }

    fn joined(&mut self, list: &mut Vec<Id>, join: fn(Vec<Id>) -> Ast) -> Parsed {
        match list.as_slice() {
            [only] => {
                let only = *only;
                list.clear();
                Ok(only)
            }
            _ => self.add(join(std::mem::take(list))),
        }
    }

    fn define(&mut self, top: bool) -> Parsed {
        let function = self.function()?;
        let rest = self.query(top)?;
        self.add(Ast::Define(function, rest))
    }

    fn label(&mut self) -> Parsed {
        self.at += 1;
        let name = self.variable_name()?;
        self.expect("|")?;
        let body = self.query(false)?;
        self.add(Ast::Label(name, body))
    }

    /// After `source as`.
    fn bind(&mut self, source: Id) -> Parsed {
        let patterns = self.patterns()?;
        self.expect("|")?;
        let body = self.query(false)?;
        self.add(Ast::Bind(source, patterns, body))
    }

    fn function(&mut self) -> Parsed<Function> {
        self.expect_name("def")?;
        let name = match self.advance().kind {
            Kind::Name(name) if !KEYWORDS.contains(&name.as_str()) => name,
            _ => {
                self.at -= 1;
                return Err(self.unexpected("the name of a function"));
            }
        };
        let parameters = if self.take("(") { self.parameters()? } else { Vec::new() };
        self.expect(":")?;
        let body = self.query(false)?;
        self.expect(";")?;
        Ok(Function { name, parameters, body })
    }

    fn parameters(&mut self) -> Parsed<Vec<EcoString>> {
        let mut parameters = Vec::new();
        loop {
            match self.advance().kind {
                Kind::Name(name) => parameters.push(name),
                Kind::Variable(name) => parameters.push(EcoString::from(format!("${name}"))),
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected("a parameter"));
                }
            }
            if !self.take(";") {
                self.expect(")")?;
                return Ok(parameters);
            }
        }
    }

    fn variable_name(&mut self) -> Parsed<EcoString> {
        match self.advance().kind {
            Kind::Variable(name) => Ok(name),
            _ => {
                self.at -= 1;
                Err(self.unexpected("a `$name`"))
            }
        }
    }

    /// Operands joined by operators that bind at least so strongly.
    fn expression(&mut self, strength_min: u8) -> Parsed {
        self.nested(|p| p.expression_inside(strength_min))
    }

    fn expression_inside(&mut self, strength_min: u8) -> Parsed {
        let mut left = self.term()?;
        let mut strength_max = u8::MAX;
        while let Some((operator, strength)) = infix(&self.peek().kind) {
            if strength < strength_min {
                break;
            }
            if strength > strength_max {
                return Err(self.unexpected("something else: this operator does not chain"));
            }
            self.at += 1;
            let right_binds_right = matches!(operator, Infix::Alternative);
            let right = self.expression(if right_binds_right { strength } else { strength + 1 })?;
            left = self.add(match operator {
                Infix::Binary(operator) => self.computed(operator, left, right),
                Infix::Alternative => Ast::Alternative(left, right),
                Infix::Assign(assignment) => Ast::Assign(assignment, left, right),
                Infix::Or => Ast::Or(left, right),
                Infix::And => Ast::And(left, right),
            })?;
            strength_max = if chains(strength) { strength } else { strength - 1 };
        }
        Ok(left)
    }

    /// Numbers are computed here; what grows is built under a budget.
    fn computed(&self, operator: Operator, left: Id, right: Id) -> Ast {
        let folded = match (self.tree.get(left), self.tree.get(right)) {
            (Ast::Literal(a), Ast::Literal(b)) => arithmetic::folded(operator, a, b),
            _ => None,
        };
        folded.map_or(Ast::Binary(operator, left, right), Ast::Literal)
    }

    fn patterns(&mut self) -> Parsed<Vec<Pattern>> {
        let mut patterns = vec![self.pattern()?];
        while self.take("?//") {
            patterns.push(self.pattern()?);
        }
        Ok(patterns)
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
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

    fn pattern_member(&mut self) -> Parsed<(Id, Option<EcoString>, Option<Pattern>)> {
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
    fn key_text(&mut self) -> Parsed {
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
    fn key_filter(&mut self) -> Parsed {
        let token = self.advance();
        let key = self.query(false)?;
        self.expect(")")?;
        match self.tree.get(key) {
            Ast::Literal(value) if value.as_str().is_none() => {
                let shown = super::errors::typed(value);
                Err(error_at(&token, format!("Cannot use {shown} as object key")))
            }
            _ => Ok(key),
        }
    }

    /// A value and what is behind it without a space: `.a`, `[…]`, `?`.
    fn term(&mut self) -> Parsed {
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
    fn is_optional(&mut self) -> bool {
        self.take("?")
    }

    fn index(&mut self, term: Id, key: Id) -> Parsed {
        let optional = self.is_optional();
        self.add(Ast::Index(term, key, optional))
    }

    /// After the `[` behind a term.
    fn bracket(&mut self, term: Id) -> Parsed {
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

    fn primary(&mut self) -> Parsed {
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

    fn location(&self, token: &Token) -> Value {
        let line = 1 + self.source[..token.offset].bytes().filter(|byte| *byte == b'\n').count();
        [("file", Value::from("<top-level>")), ("line", Value::from(line))].into_iter().collect()
    }

    fn named(&mut self, token: &Token, name: &EcoString) -> Parsed {
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

    fn fold_head(&mut self) -> Parsed<(Id, Vec<Pattern>)> {
        let source = self.expression(0)?;
        self.expect_name("as")?;
        let patterns = self.patterns()?;
        self.expect("(")?;
        Ok((source, patterns))
    }

    fn condition(&mut self) -> Parsed {
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

    fn call(&mut self, token: &Token, name: &EcoString) -> Parsed {
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

    fn text(&mut self, format: EcoString, pieces: &[Piece]) -> Parsed {
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

    fn object(&mut self) -> Parsed {
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

    fn member(&mut self) -> Parsed<(Id, Option<Id>)> {
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
    fn member_value(&mut self) -> Parsed {
        let mut stages = vec![self.expression(0)?];
        while self.take("|") {
            stages.push(self.expression(0)?);
        }
        self.joined(&mut stages, Ast::Pipe)
    }
}

fn error_at(token: &Token, message: String) -> SyntaxError {
    SyntaxError { message, offset: token.offset, len: token.len }
}
