//! Tokens to a syntax tree.

use ecow::EcoString;

use super::SyntaxError;
use super::ast::{Ast, Format, Function, Operator, Part, Pattern};
use super::lexer::{Kind, Lexer, Piece, Token};
use crate::value::Value;

/// The deepest nesting of a program.
const NESTING_MAX: u32 = 200;

pub(super) struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
    arguments: &'a [EcoString],
    /// Local variables, functions as `name/arity`, and labels as `*name`, innermost last.
    scope: Vec<EcoString>,
    known: &'a dyn Fn(&str) -> bool,
}

type Parsed = Result<Ast, SyntaxError>;

fn boxed(ast: Ast) -> Box<Ast> {
    Box::new(ast)
}

impl<'a> Parser<'a> {
    /// `arguments` are the runtime arguments; `known` says which `name/arity` are built in.
    pub fn new(
        source: &str,
        arguments: &'a [EcoString],
        known: &'a dyn Fn(&str) -> bool,
    ) -> Result<Parser<'a>, SyntaxError> {
        let tokens = Lexer::new(source).tokens()?;
        Ok(Parser { tokens, at: 0, depth: 0, arguments, scope: Vec::new(), known })
    }

    pub fn program(mut self) -> Parsed {
        let ast = self.pipe()?;
        self.end()?;
        Ok(ast)
    }

    /// Only definitions, as in the prelude.
    pub fn definitions(mut self) -> Result<Vec<Function>, SyntaxError> {
        let mut functions = Vec::new();
        while self.is_name("def") {
            functions.push(self.function()?);
        }
        self.end()?;
        Ok(functions)
    }

    fn end(&self) -> Result<(), SyntaxError> {
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

    fn expect(&mut self, symbol: &str) -> Result<(), SyntaxError> {
        if self.take(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    fn expect_name(&mut self, name: &str) -> Result<(), SyntaxError> {
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

    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, SyntaxError>) -> Result<T, SyntaxError> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(error_at(self.peek(), "the expression is nested too deep".into()));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// `def`s, `as` bindings and labels reach to the end of the pipe.
    fn pipe(&mut self) -> Parsed {
        self.nested(|p| {
            let mark = p.scope.len();
            let parsed = p.pipe_inside();
            p.scope.truncate(mark);
            parsed
        })
    }

    fn pipe_inside(&mut self) -> Parsed {
        if self.is_name("def") {
            let function = self.function()?;
            self.scope.push(signature(&function.name, function.parameters.len()));
            let body = self.pipe()?;
            return Ok(Ast::Define(Box::new(function), boxed(body)));
        }
        if self.take_name("label") {
            let name = self.variable_name()?;
            self.expect("|")?;
            self.scope.push(EcoString::from(format!("*{name}")));
            let body = self.pipe()?;
            return Ok(Ast::Label(name, boxed(body)));
        }
        let left = self.comma()?;
        if self.take("|") {
            let right = self.pipe()?;
            return Ok(Ast::Pipe(boxed(left), boxed(right)));
        }
        Ok(left)
    }

    fn function(&mut self) -> Result<Function, SyntaxError> {
        self.expect_name("def")?;
        let name = match self.advance().kind {
            Kind::Name(name) => name,
            _ => {
                self.at -= 1;
                return Err(self.unexpected("the name of a function"));
            }
        };
        let mut parameters = Vec::new();
        if self.take("(") {
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
                    break;
                }
            }
            self.expect(")")?;
        }
        self.expect(":")?;
        let mark = self.scope.len();
        self.scope.push(signature(&name, parameters.len()));
        for parameter in &parameters {
            match parameter.strip_prefix('$') {
                Some(value) => {
                    self.scope.push(value.into());
                    self.scope.push(signature(value, 0));
                }
                None => self.scope.push(signature(parameter, 0)),
            }
        }
        let body = self.pipe()?;
        self.scope.truncate(mark);
        self.expect(";")?;
        Ok(Function { name, parameters, body })
    }

    fn variable_name(&mut self) -> Result<EcoString, SyntaxError> {
        match self.advance().kind {
            Kind::Variable(name) => Ok(name),
            _ => {
                self.at -= 1;
                Err(self.unexpected("a `$name`"))
            }
        }
    }

    fn comma(&mut self) -> Parsed {
        let mut left = self.alternative()?;
        while self.take(",") {
            let right = self.alternative()?;
            left = Ast::Comma(boxed(left), boxed(right));
        }
        Ok(left)
    }

    /// `//` binds to the right, assignments don't chain; both are looser than `or`.
    fn alternative(&mut self) -> Parsed {
        self.nested(|p| {
            let left = p.assignment()?;
            if p.take("//") {
                let right = p.alternative()?;
                return Ok(Ast::Alternative(boxed(left), boxed(right)));
            }
            Ok(left)
        })
    }

    fn assignment(&mut self) -> Parsed {
        let left = self.or()?;
        let operator = match &self.peek().kind {
            Kind::Symbol("=") => None,
            Kind::Symbol("|=") => None,
            Kind::Symbol("+=") => Some(Operator::Add),
            Kind::Symbol("-=") => Some(Operator::Subtract),
            Kind::Symbol("*=") => Some(Operator::Multiply),
            Kind::Symbol("/=") => Some(Operator::Divide),
            Kind::Symbol("%=") => Some(Operator::Modulo),
            Kind::Symbol("//=") => None,
            _ => return Ok(left),
        };
        let symbol = self.advance().kind;
        let right = self.or()?;
        Ok(match symbol {
            Kind::Symbol("=") => Ast::Assign(boxed(left), boxed(right)),
            Kind::Symbol("|=") => Ast::Update(boxed(left), boxed(right)),
            _ => Ast::Modify(operator, boxed(left), boxed(right)),
        })
    }

    fn or(&mut self) -> Parsed {
        let mut left = self.and()?;
        while self.take_name("or") {
            let right = self.and()?;
            left = Ast::Or(boxed(left), boxed(right));
        }
        Ok(left)
    }

    fn and(&mut self) -> Parsed {
        let mut left = self.comparison()?;
        while self.take_name("and") {
            let right = self.comparison()?;
            left = Ast::And(boxed(left), boxed(right));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Parsed {
        let left = self.sum()?;
        let operator = match &self.peek().kind {
            Kind::Symbol("==") => Operator::Equal,
            Kind::Symbol("!=") => Operator::Unequal,
            Kind::Symbol("<") => Operator::Less,
            Kind::Symbol("<=") => Operator::LessOrEqual,
            Kind::Symbol(">") => Operator::Greater,
            Kind::Symbol(">=") => Operator::GreaterOrEqual,
            _ => return Ok(left),
        };
        self.at += 1;
        let right = self.sum()?;
        Ok(Ast::Binary(operator, boxed(left), boxed(right)))
    }

    fn sum(&mut self) -> Parsed {
        let mut left = self.product()?;
        loop {
            let operator = match &self.peek().kind {
                Kind::Symbol("+") => Operator::Add,
                Kind::Symbol("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.product()?;
            left = Ast::Binary(operator, boxed(left), boxed(right));
        }
    }

    fn product(&mut self) -> Parsed {
        let mut left = self.bound()?;
        loop {
            let operator = match &self.peek().kind {
                Kind::Symbol("*") => Operator::Multiply,
                Kind::Symbol("/") => Operator::Divide,
                Kind::Symbol("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.bound()?;
            left = Ast::Binary(operator, boxed(left), boxed(right));
        }
    }

    /// A postfix term, perhaps with `as $x | …` behind it.
    fn bound(&mut self) -> Parsed {
        if self.take("-") {
            let operand = self.nested(Self::bound)?;
            return Ok(Ast::Negate(boxed(operand)));
        }
        let term = self.postfix()?;
        if !self.take_name("as") {
            return Ok(term);
        }
        let mut patterns = vec![self.pattern()?];
        while self.take("?//") {
            patterns.push(self.pattern()?);
        }
        self.expect("|")?;
        let mark = self.scope.len();
        for pattern in &patterns {
            pattern.variables(&mut self.scope);
        }
        let body = self.pipe()?;
        self.scope.truncate(mark);
        Ok(Ast::Bind(boxed(term), patterns, boxed(body)))
    }

    fn pattern(&mut self) -> Result<Pattern, SyntaxError> {
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
            let mut members = Vec::new();
            loop {
                let (key, name) = match p.peek().kind.clone() {
                    Kind::Variable(name) => {
                        p.at += 1;
                        (Ast::Literal(Value::String(name.clone())), Some(name))
                    }
                    Kind::Name(name) => {
                        p.at += 1;
                        (Ast::Literal(Value::String(name)), None)
                    }
                    Kind::Text(_) => (p.primary()?, None),
                    Kind::Symbol("(") => (p.primary()?, None),
                    _ => return Err(p.unexpected("a key")),
                };
                let inner = if p.take(":") { Some(p.pattern()?) } else { None };
                if name.is_none() && inner.is_none() {
                    return Err(p.unexpected("`:`"));
                }
                members.push((key, name, inner));
                if !p.take(",") {
                    break;
                }
            }
            p.expect("}")?;
            Ok(Pattern::Object(members))
        })
    }

    fn postfix(&mut self) -> Parsed {
        let mut term = self.primary()?;
        loop {
            match self.peek().kind.clone() {
                Kind::Field(name) => {
                    self.at += 1;
                    term = index(term, Ast::Literal(Value::String(name)));
                }
                Kind::Symbol(".") => {
                    self.at += 1;
                    match self.peek().kind {
                        Kind::Text(_) => {
                            let key = self.primary()?;
                            term = index(term, key);
                        }
                        Kind::Symbol("[") => {}
                        _ => return Err(self.unexpected("a key")),
                    }
                }
                Kind::Symbol("[") => {
                    self.at += 1;
                    term = self.bracket(term)?;
                }
                Kind::Symbol("?") => {
                    self.at += 1;
                    term = guarded(term);
                }
                _ => return Ok(term),
            }
        }
    }

    /// After the `[` behind a term.
    fn bracket(&mut self, term: Ast) -> Parsed {
        if self.take("]") {
            return Ok(Ast::Iterate(boxed(term)));
        }
        if self.take(":") {
            let to = self.pipe()?;
            self.expect("]")?;
            return Ok(Ast::Slice(boxed(term), None, Some(boxed(to))));
        }
        let from = self.pipe()?;
        if self.take(":") {
            let to = if self.is("]") { None } else { Some(boxed(self.pipe()?)) };
            self.expect("]")?;
            return Ok(Ast::Slice(boxed(term), Some(boxed(from)), to));
        }
        self.expect("]")?;
        Ok(index(term, from))
    }

    fn primary(&mut self) -> Parsed {
        self.nested(Self::primary_inside)
    }

    fn primary_inside(&mut self) -> Parsed {
        let token = self.advance();
        match &token.kind {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
            Kind::Number(number, true) if number.abs() < 9.0e15 => Ok(Ast::Literal(Value::Int(*number as i64))),
            Kind::Number(number, _) => Ok(Ast::Literal(Value::number(number.clamp(f64::MIN, f64::MAX)))),
            Kind::Text(pieces) => self.text(Format::Text, pieces),
            Kind::Format(name) => {
                let format =
                    format_named(name).ok_or_else(|| error_at(&token, format!("`@{name}` is not a format")))?;
                match self.peek().kind.clone() {
                    Kind::Text(pieces) => {
                        self.at += 1;
                        self.text(format, &pieces)
                    }
                    _ => Ok(Ast::Format(format)),
                }
            }
            Kind::Field(name) => Ok(index(Ast::Identity, Ast::Literal(Value::String(name.clone())))),
            Kind::Variable(name) => self.variable(&token, name),
            Kind::Name(name) => self.named(&token, name),
            Kind::Symbol("..") => Ok(Ast::RecurseAll),
            Kind::Symbol(".") => match self.peek().kind {
                Kind::Text(_) => {
                    let key = self.primary()?;
                    Ok(index(Ast::Identity, key))
                }
                _ => Ok(Ast::Identity),
            },
            Kind::Symbol("(") => {
                let inner = self.pipe()?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Symbol("[") => {
                if self.take("]") {
                    return Ok(Ast::Array(None));
                }
                let inner = self.pipe()?;
                self.expect("]")?;
                Ok(Ast::Array(Some(boxed(inner))))
            }
            Kind::Symbol("{") => self.object(),
            _ => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn variable(&self, token: &Token, name: &EcoString) -> Parsed {
        if self.scope.contains(name) {
            return Ok(Ast::Local(name.clone()));
        }
        if let Some(index) = self.arguments.iter().position(|own| own == name) {
            return Ok(Ast::Argument(index));
        }
        if name == "__loc__" {
            let file = ("file", Value::from("<top-level>"));
            let members = [file, ("line", Value::Int(1))].into_iter().map(|(k, v)| (EcoString::from(k), v));
            return Ok(Ast::Literal(Value::Object(members.collect())));
        }
        if name == "ENV" {
            return Err(error_at(
                token,
                "`$ENV` is not to be had: expressions can't reach the process's environment".into(),
            ));
        }
        let all = self.scope.iter().filter(|own| !own.contains(['/', '*'])).chain(self.arguments);
        let known: Vec<String> = all.map(|own| format!("${own}")).collect();
        Err(error_at(token, format!("`${name}` is not defined: here are {}", known.join(", "))))
    }

    fn named(&mut self, token: &Token, name: &EcoString) -> Parsed {
        match name.as_str() {
            "if" => self.condition(),
            "try" => {
                let body = self.postfix_without_try()?;
                let handler = if self.take_name("catch") { Some(boxed(self.postfix_without_try()?)) } else { None };
                Ok(Ast::Try(boxed(body), handler))
            }
            "reduce" => {
                let (source, pattern, mark) = self.fold_head()?;
                let init = self.pipe()?;
                self.expect(";")?;
                let update = self.pipe()?;
                self.expect(")")?;
                self.scope.truncate(mark);
                Ok(Ast::Reduce(source, pattern, boxed(init), boxed(update)))
            }
            "foreach" => {
                let (source, pattern, mark) = self.fold_head()?;
                let init = self.pipe()?;
                self.expect(";")?;
                let update = self.pipe()?;
                let extract = if self.take(";") { Some(boxed(self.pipe()?)) } else { None };
                self.expect(")")?;
                self.scope.truncate(mark);
                Ok(Ast::Foreach(source, pattern, boxed(init), boxed(update), extract))
            }
            "break" => {
                let name = self.variable_name()?;
                if !self.scope.contains(&EcoString::from(format!("*{name}"))) {
                    return Err(error_at(token, format!("`break ${name}` is outside of `label ${name}`")));
                }
                Ok(Ast::Break(name))
            }
            "def" => {
                self.at -= 1;
                self.pipe()
            }
            "null" => Ok(Ast::Literal(Value::Null)),
            "true" => Ok(Ast::Literal(Value::Bool(true))),
            "false" => Ok(Ast::Literal(Value::Bool(false))),
            "import" | "include" | "env" | "input" | "inputs" | "halt" | "halt_error" | "input_filename" | "getenv" => {
                let message = format!("`{name}` is not to be had: expressions can't reach files or the process");
                Err(error_at(token, message))
            }
            "then" | "elif" | "else" | "end" | "as" | "catch" | "and" | "or" | "__loc__" => {
                self.at -= 1;
                Err(self.unexpected("a value"))
            }
            _ => self.call(token, name),
        }
    }

    fn postfix_without_try(&mut self) -> Parsed {
        self.nested(Self::postfix)
    }

    fn fold_head(&mut self) -> Result<(Box<Ast>, Pattern, usize), SyntaxError> {
        let source = self.postfix()?;
        self.expect_name("as")?;
        let pattern = self.pattern()?;
        self.expect("(")?;
        let mark = self.scope.len();
        pattern.variables(&mut self.scope);
        Ok((boxed(source), pattern, mark))
    }

    fn condition(&mut self) -> Parsed {
        let condition = self.pipe()?;
        self.expect_name("then")?;
        let then = self.pipe()?;
        let otherwise = if self.take_name("elif") {
            Some(boxed(self.nested(Self::condition)?))
        } else if self.take_name("else") {
            let otherwise = self.pipe()?;
            self.expect_name("end")?;
            Some(boxed(otherwise))
        } else {
            self.expect_name("end")?;
            None
        };
        Ok(Ast::If(boxed(condition), boxed(then), otherwise))
    }

    fn call(&mut self, token: &Token, name: &EcoString) -> Parsed {
        let mut arguments = Vec::new();
        if self.take("(") {
            loop {
                arguments.push(self.pipe()?);
                if !self.take(";") {
                    break;
                }
            }
            self.expect(")")?;
        }
        let signature = signature(name, arguments.len());
        if !self.scope.contains(&signature) && !(self.known)(&signature) {
            return Err(error_at(
                token,
                format!("`{signature}` is not a function: jq has none of that name and number of arguments"),
            ));
        }
        Ok(Ast::Call(name.clone(), arguments))
    }

    fn text(&mut self, format: Format, pieces: &[Piece]) -> Parsed {
        let mut parts = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Plain(text) if text.is_empty() => {}
                Piece::Plain(text) => parts.push(Part::Plain(text.clone())),
                Piece::Filter(tokens) => {
                    let outer = std::mem::replace(&mut self.tokens, tokens.clone());
                    let at = std::mem::take(&mut self.at);
                    let filter = self.pipe().and_then(|filter| self.end().map(|()| filter));
                    self.tokens = outer;
                    self.at = at;
                    parts.push(Part::Filter(filter?));
                }
            }
        }
        Ok(match parts.as_slice() {
            [] => Ast::Literal(Value::from("")),
            [Part::Plain(text)] => Ast::Literal(Value::String(text.clone())),
            _ => Ast::Text(format, parts),
        })
    }

    fn object(&mut self) -> Parsed {
        let mut members = Vec::new();
        while !self.take("}") {
            let token = self.advance();
            let (key, shorthand) = match &token.kind {
                Kind::Name(name) => {
                    let key = Ast::Literal(Value::String(name.clone()));
                    (key.clone(), Some(index(Ast::Identity, key)))
                }
                Kind::Variable(name) => {
                    let value = self.variable(&token, name)?;
                    (Ast::Literal(Value::String(name.clone())), Some(value))
                }
                Kind::Number(..) => {
                    self.at -= 1;
                    (self.primary()?, None)
                }
                Kind::Text(_) | Kind::Format(_) => {
                    self.at -= 1;
                    let key = self.primary()?;
                    (key.clone(), Some(index(Ast::Identity, key)))
                }
                Kind::Symbol("(") => {
                    let key = self.pipe()?;
                    self.expect(")")?;
                    (key, None)
                }
                _ => {
                    self.at -= 1;
                    return Err(self.unexpected("a key"));
                }
            };
            let value =
                if self.take(":") { self.member()? } else { shorthand.ok_or_else(|| self.unexpected("`:`"))? };
            members.push((key, value));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Ast::Object(members))
    }

    /// A member's value: alternatives joined by `|`, without commas.
    fn member(&mut self) -> Parsed {
        self.nested(|p| {
            let left = p.alternative()?;
            if p.take("|") {
                let right = p.member()?;
                return Ok(Ast::Pipe(boxed(left), boxed(right)));
            }
            Ok(left)
        })
    }
}

fn error_at(token: &Token, message: String) -> SyntaxError {
    SyntaxError { message, offset: token.offset, len: token.len }
}

fn index(term: Ast, key: Ast) -> Ast {
    Ast::Index(boxed(term), boxed(key))
}

/// `?`: guards the last step of a path alone.
fn guarded(term: Ast) -> Ast {
    let (before, step) = match term {
        Ast::Index(before, key) if matches!(*key, Ast::Literal(_)) => (before, Ast::Index(boxed(Ast::Identity), key)),
        Ast::Iterate(before) => (before, Ast::Iterate(boxed(Ast::Identity))),
        other => return Ast::Try(boxed(other), None),
    };
    Ast::Pipe(before, boxed(Ast::Try(boxed(step), None)))
}

fn signature(name: &str, arity: usize) -> EcoString {
    EcoString::from(format!("{name}/{arity}"))
}

fn format_named(name: &str) -> Option<Format> {
    Some(match name {
        "text" => Format::Text,
        "json" => Format::Json,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "html" => Format::Html,
        "uri" => Format::Uri,
        "urid" => Format::Urid,
        "sh" => Format::Sh,
        "base64" => Format::Base64,
        "base64d" => Format::Base64d,
        _ => return None,
    })
}
