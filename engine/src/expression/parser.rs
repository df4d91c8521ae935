//! Tokens to a syntax tree, by jq's grammar and precedence.

mod patterns;
mod terms;

use ecow::EcoString;

use super::SyntaxError;
use super::arithmetic;
use super::ast::{Assignment, Ast, Function, Id, Operator, Tree};
use super::lexer::{Kind, Lexer, Token};

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
}

fn error_at(token: &Token, message: String) -> SyntaxError {
    SyntaxError { message, offset: token.offset, len: token.len }
}
