//! The evaluator. Each output of a filter is handed to a continuation, so that nothing is collected that is not asked
//! for; depth is counted, so that the machine stack is bounded.

use std::ops::ControlFlow;

use ecow::EcoString;

use super::ast::{Ast, Function, Part, Pattern};
use super::{Context, arithmetic, builtins, paths, prelude, text};
use crate::value::{Array, Map, Value};

/// What one filter may need of the machine stack, and how much is added when less is left, in bytes.
const STACK_SPARE: usize = 128 << 10;
const STACK_SEGMENT: usize = 2 << 20;

/// Why evaluation stops before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// A thrown value.
    Error(Value),
    /// `break` to the label with this number.
    Break(u64),
    /// A limit.
    Limit(&'static str),
    /// Whoever takes the outputs needs no more.
    Enough,
}

impl Stop {
    pub fn error(text: impl Into<EcoString>) -> Stop {
        Stop::Error(Value::String(text.into()))
    }
}

pub(super) type Flow = Result<(), Stop>;

/// A value on its way, with its path from the start where paths are asked for.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub value: Value,
    pub path: Path,
}

#[derive(Clone, Debug)]
pub(super) enum Path {
    /// Nobody asks.
    Off,
    /// The way from the start.
    At(Array),
    /// The value was computed: it has no path.
    Lost,
}

impl Item {
    pub fn plain(value: Value) -> Item {
        Item { value, path: Path::Off }
    }

    /// A computed value where this item stood.
    pub fn computed(&self, value: Value) -> Item {
        let path = if matches!(self.path, Path::Off) { Path::Off } else { Path::Lost };
        Item { value, path }
    }

    /// What lies under `key`.
    pub fn step(&self, key: Value, value: Value) -> Result<Item, Stop> {
        let path = match &self.path {
            Path::Off => Path::Off,
            Path::At(path) => {
                let mut path = path.clone();
                path.push(key);
                Path::At(path)
            }
            Path::Lost => {
                let with = text::shown(&self.value);
                let key = text::shown(&key);
                return Err(Stop::error(format!("Invalid path expression with result {with} and key {key}")));
            }
        };
        Ok(Item { value, path })
    }
}

/// What names mean: a list from the innermost outwards.
#[derive(Clone, Copy)]
pub(super) struct Env<'e> {
    entry: Option<&'e Entry<'e>>,
}

pub(super) struct Entry<'e> {
    bound: Bound<'e>,
    outer: Env<'e>,
}

enum Bound<'e> {
    Variable(EcoString, Value),
    Function(&'e Function),
    /// A parameter: a filter and where it stands.
    Closure(&'e str, &'e Ast, Env<'e>),
    Label(EcoString, u64),
}

impl<'e> Env<'e> {
    pub const EMPTY: Env<'static> = Env { entry: None };

    fn variable(self, name: &str) -> Value {
        let mut at = self.entry;
        while let Some(entry) = at {
            if let Bound::Variable(own, value) = &entry.bound
                && own == name
            {
                return value.clone();
            }
            at = entry.outer.entry;
        }
        Value::Null
    }

    fn label(self, name: &str) -> u64 {
        let mut at = self.entry;
        while let Some(entry) = at {
            if let Bound::Label(own, number) = &entry.bound
                && own == name
            {
                return *number;
            }
            at = entry.outer.entry;
        }
        0
    }

    fn function(self, name: &str, arity: usize) -> Option<(&'e Entry<'e>, Env<'e>)> {
        let mut at = self;
        while let Some(entry) = at.entry {
            let found = match &entry.bound {
                Bound::Function(function) => function.name == name && function.parameters.len() == arity,
                Bound::Closure(own, ..) => arity == 0 && *own == name,
                Bound::Variable(..) | Bound::Label(..) => false,
            };
            if found {
                return Some((entry, at));
            }
            at = entry.outer;
        }
        None
    }
}

/// The state of one evaluation.
pub(super) struct Machine<'c> {
    pub cx: &'c Context<'c>,
    steps: u64,
    memory: usize,
    depth: u32,
    labels: u64,
}

pub(super) type Out<'o> = &'o mut dyn FnMut(&mut Machine<'_>, Item) -> Flow;

impl<'c> Machine<'c> {
    pub fn new(cx: &'c Context<'c>) -> Machine<'c> {
        Machine { cx, steps: 0, memory: 0, depth: 0, labels: 0 }
    }

    pub fn run(&mut self, ast: &Ast, input: &Value, out: &mut dyn FnMut(Value) -> Flow) -> Flow {
        self.eval(ast, Env::EMPTY, &Item::plain(input.clone()), &mut |_, item| out(item.value))
    }

    /// Counts work: `steps` for what is walked.
    pub fn charge(&mut self, steps: u64) -> Flow {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > self.cx.limits.steps_max { Err(Stop::Limit("steps")) } else { Ok(()) }
    }

    /// Counts what is built.
    pub fn allocate(&mut self, bytes: usize) -> Flow {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > self.cx.limits.memory_max {
            Err(Stop::Limit("memory"))
        } else {
            self.charge(bytes as u64 / 256)
        }
    }

    /// All outputs of a filter as values.
    pub fn collect(&mut self, ast: &Ast, env: Env<'_>, input: &Item) -> Result<Vec<Value>, Stop> {
        let mut values = Vec::new();
        let input = Item::plain(input.value.clone());
        self.eval(ast, env, &input, &mut |m, item| {
            m.allocate(24)?;
            values.push(item.value);
            Ok(())
        })?;
        Ok(values)
    }

    /// All paths that a filter gives on `input`.
    pub fn paths(&mut self, ast: &Ast, env: Env<'_>, input: &Value) -> Result<Vec<Array>, Stop> {
        let start = Item { value: input.clone(), path: Path::At(Array::new()) };
        let mut found = Vec::new();
        self.eval(ast, env, &start, &mut |m, item| {
            m.allocate(24)?;
            found.push(path_of(item)?);
            Ok(())
        })?;
        Ok(found)
    }

    pub fn eval(&mut self, ast: &Ast, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        self.charge(1)?;
        self.depth += 1;
        if self.depth > self.cx.limits.depth_max {
            return Err(Stop::Limit("depth"));
        }
        // The machine stack grows by heap segments, so that depth is bounded by the limit alone.
        let flow = stacker::maybe_grow(STACK_SPARE, STACK_SEGMENT, || self.eval_inside(ast, env, input, out));
        self.depth -= 1;
        flow
    }

    fn eval_inside(&mut self, ast: &Ast, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        match ast {
            Ast::Identity => out(self, input.clone()),
            Ast::Literal(value) => out(self, input.computed(value.clone())),
            Ast::Local(name) => out(self, input.computed(env.variable(name))),
            Ast::Argument(index) => {
                let value = (self.cx.variables)(*index);
                out(self, input.computed(value))
            }
            Ast::Pipe(a, b) => self.eval(a, env, input, &mut |m, item| m.eval(b, env, &item, out)),
            Ast::Comma(a, b) => {
                self.eval(a, env, input, out)?;
                self.eval(b, env, input, out)
            }
            Ast::Index(term, key) => self.eval(term, env, input, &mut |m, item| {
                if let Ast::Literal(key) = key.as_ref() {
                    let value = paths::index(&item.value, key)?;
                    return out(m, item.step(key.clone(), value)?);
                }
                let plain = Item::plain(input.value.clone());
                m.eval(key, env, &plain, &mut |m, key| {
                    let value = paths::index(&item.value, &key.value)?;
                    out(m, item.step(key.value, value)?)
                })
            }),
            Ast::Slice(term, from, to) => self.eval_slice(term, from.as_deref(), to.as_deref(), env, input, out),
            Ast::Iterate(term) => self.eval(term, env, input, &mut |m, item| m.iterate(&item, out)),
            Ast::RecurseAll => self.recurse_all(input, out),
            Ast::Try(body, handler) => self.eval_try(body, handler.as_deref(), env, input, out),
            Ast::Negate(operand) => self.eval(operand, env, input, &mut |m, item| {
                let value = arithmetic::negate(&item.value)?;
                out(m, item.computed(value))
            }),
            Ast::Binary(operator, a, b) => self.each(b, env, input, &mut |m, right| {
                m.each(a, env, input, &mut |m, left| {
                    let value = arithmetic::apply(m, *operator, left, right)?;
                    out(m, input.computed(value))
                })
            }),
            Ast::And(a, b) => self.logic(a, b, false, env, input, out),
            Ast::Or(a, b) => self.logic(a, b, true, env, input, out),
            Ast::Alternative(a, b) => self.alternative(a, b, env, input, out),
            Ast::If(condition, then, otherwise) => {
                let plain = Item::plain(input.value.clone());
                self.eval(condition, env, &plain, &mut |m, verdict| match (verdict.value.is_truthy(), otherwise) {
                    (true, _) => m.eval(then, env, input, out),
                    (false, Some(otherwise)) => m.eval(otherwise, env, input, out),
                    (false, None) => out(m, input.clone()),
                })
            }
            Ast::Array(None) => out(self, input.computed(Value::Array(Array::new()))),
            Ast::Array(Some(items)) => {
                let values = self.collect(items, env, input)?;
                out(self, input.computed(Value::Array(values.into())))
            }
            Ast::Object(members) => self.object(members, Map::default(), env, input, out),
            Ast::Text(format, parts) => self.text(*format, parts, String::new(), env, input, out),
            Ast::Format(format) => {
                let text = text::format(*format, &input.value)?;
                self.allocate(text.len())?;
                out(self, input.computed(Value::String(text)))
            }
            Ast::Bind(source, patterns, body) => {
                let plain = Item::plain(input.value.clone());
                self.eval(source, env, &plain, &mut |m, bound| {
                    m.bind_any(patterns, &bound.value, body, env, input, out)
                })
            }
            Ast::Reduce(source, pattern, init, update) => self.reduce(source, pattern, init, update, env, input, out),
            Ast::Foreach(source, pattern, init, update, extract) => {
                self.foreach(source, pattern, init, update, extract.as_deref(), env, input, out)
            }
            Ast::Define(function, body) => {
                let entry = Entry { bound: Bound::Function(function), outer: env };
                self.eval(body, Env { entry: Some(&entry) }, input, out)
            }
            Ast::Call(name, arguments) => self.call(name, arguments, env, input, out),
            Ast::Label(name, body) => {
                self.labels += 1;
                let number = self.labels;
                let entry = Entry { bound: Bound::Label(name.clone(), number), outer: env };
                let depth = self.depth;
                match self.eval(body, Env { entry: Some(&entry) }, input, out) {
                    Err(Stop::Break(target)) if target == number => {
                        self.depth = depth;
                        Ok(())
                    }
                    other => other,
                }
            }
            Ast::Break(name) => Err(Stop::Break(env.label(name))),
            Ast::Assign(target, value) => {
                for value in self.collect(value, env, input)? {
                    let mut whole = input.value.clone();
                    for path in self.paths(target, env, &input.value)? {
                        whole = paths::set(&whole, &path, value.clone())?;
                    }
                    out(self, input.computed(whole))?;
                }
                Ok(())
            }
            Ast::Update(target, update) => {
                let mut whole = input.value.clone();
                let mut gone = Vec::new();
                for path in self.paths(target, env, &input.value)? {
                    let old = paths::get(&whole, &path)?;
                    match self.first(update, env, &Item::plain(old))? {
                        Some(new) => whole = paths::set(&whole, &path, new)?,
                        None => gone.push(path),
                    }
                }
                let whole = paths::delete(&whole, gone)?;
                out(self, input.computed(whole))
            }
            Ast::Modify(operator, target, value) => {
                for value in self.collect(value, env, input)? {
                    let mut whole = input.value.clone();
                    for path in self.paths(target, env, &input.value)? {
                        let old = paths::get(&whole, &path)?;
                        let new = match operator {
                            Some(operator) => arithmetic::apply(self, *operator, &old, &value)?,
                            None if old.is_truthy() => old,
                            None => value.clone(),
                        };
                        whole = paths::set(&whole, &path, new)?;
                    }
                    out(self, input.computed(whole))?;
                }
                Ok(())
            }
        }
    }

    /// The first output of a filter, if it has one.
    pub fn first(&mut self, ast: &Ast, env: Env<'_>, input: &Item) -> Result<Option<Value>, Stop> {
        let mut found = None;
        let depth = self.depth;
        let flow = self.eval(ast, env, input, &mut |_, item| {
            found = Some(item.value);
            Err(Stop::Break(u64::MAX))
        });
        match flow {
            Ok(()) | Err(Stop::Break(u64::MAX)) => {
                self.depth = depth;
                Ok(found)
            }
            Err(other) => Err(other),
        }
    }

    pub fn iterate(&mut self, item: &Item, out: Out<'_>) -> Flow {
        match &item.value {
            Value::Array(items) => {
                for (at, value) in items.iter().enumerate() {
                    self.charge(1)?;
                    out(self, item.step(Value::Int(i64::try_from(at).unwrap_or(i64::MAX)), value.clone())?)?;
                }
                Ok(())
            }
            Value::Object(map) => {
                for (key, value) in map.iter() {
                    self.charge(1)?;
                    out(self, item.step(Value::String(key.clone()), value.clone())?)?;
                }
                Ok(())
            }
            other => Err(Stop::error(format!("Cannot iterate over {}", text::typed(other)))),
        }
    }

    fn recurse_all(&mut self, input: &Item, out: Out<'_>) -> Flow {
        let mut pending = vec![input.clone()];
        while let Some(item) = pending.pop() {
            self.charge(1)?;
            let mut inside = Vec::new();
            if item.value.is_container() {
                self.iterate(&item, &mut |m, child| {
                    m.allocate(48)?;
                    inside.push(child);
                    Ok(())
                })?;
            }
            out(self, item)?;
            pending.extend(inside.into_iter().rev());
        }
        Ok(())
    }

    fn eval_slice(
        &mut self,
        term: &Ast,
        from: Option<&Ast>,
        to: Option<&Ast>,
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        self.eval(term, env, input, &mut |m, item| {
            for to in m.bounds(to, env, input)? {
                for from in m.bounds(from, env, input)? {
                    let mut key = Map::default();
                    key.insert("start", from.clone());
                    key.insert("end", to.clone());
                    let key = Value::Object(key);
                    let value = paths::index(&item.value, &key)?;
                    out(m, item.step(key, value)?)?;
                }
            }
            Ok(())
        })
    }

    fn bounds(&mut self, ast: Option<&Ast>, env: Env<'_>, input: &Item) -> Result<Vec<Value>, Stop> {
        match ast {
            Some(ast) => self.collect(ast, env, input),
            None => Ok(vec![Value::Null]),
        }
    }

    fn eval_try(&mut self, body: &Ast, handler: Option<&Ast>, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        let depth = self.depth;
        // An error that arises behind the try (while its output is worked on) is not its own.
        let mut outside = false;
        let flow = self.eval(body, env, input, &mut |m, item| {
            let flow = out(m, item);
            outside |= flow.is_err();
            flow
        });
        match flow {
            Err(Stop::Error(value)) if !outside => {
                self.depth = depth;
                if let Value::Object(map) = &value
                    && map.get("__jq").is_some()
                {
                    return Ok(());
                }
                match handler {
                    Some(handler) => {
                        let thrown = input.computed(value);
                        self.eval(handler, env, &thrown, out)
                    }
                    None => Ok(()),
                }
            }
            other => other,
        }
    }

    fn logic(&mut self, a: &Ast, b: &Ast, short: bool, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        self.each(a, env, input, &mut |m, left| {
            if left.is_truthy() == short {
                return out(m, input.computed(Value::Bool(short)));
            }
            m.each(b, env, input, &mut |m, right| out(m, input.computed(Value::Bool(right.is_truthy()))))
        })
    }

    /// Evaluates an operand to its end, then hands on its outputs: so what is done with them does not lie on the machine
    /// stack on top of what made them. An error comes after the outputs before it.
    fn each(
        &mut self,
        ast: &Ast,
        env: Env<'_>,
        input: &Item,
        then: &mut dyn FnMut(&mut Machine<'_>, &Value) -> Flow,
    ) -> Flow {
        if let Ast::Literal(value) = ast {
            return then(self, value);
        }
        let plain = Item::plain(input.value.clone());
        let mut values = Vec::new();
        let depth = self.depth;
        let flow = self.eval(ast, env, &plain, &mut |m, item| {
            m.allocate(24)?;
            values.push(item.value);
            Ok(())
        });
        self.depth = depth;
        for value in &values {
            then(self, value)?;
        }
        flow
    }

    fn alternative(&mut self, a: &Ast, b: &Ast, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        let mut any = false;
        self.eval(a, env, input, &mut |m, item| {
            if !item.value.is_truthy() {
                return Ok(());
            }
            any = true;
            out(m, item)
        })?;
        if any { Ok(()) } else { self.eval(b, env, input, out) }
    }

    fn object(&mut self, members: &[(Ast, Ast)], built: Map, env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        let Some(((key, value), rest)) = members.split_first() else {
            self.allocate(48 * built.len())?;
            return out(self, input.computed(Value::Object(built)));
        };
        self.each(key, env, input, &mut |m, key| {
            let Value::String(key) = key else {
                return Err(Stop::error(format!("Object keys must be strings, not {}", text::typed(key))));
            };
            m.each(value, env, input, &mut |m, value| {
                let mut built = built.clone();
                built.insert(key.clone(), value.clone());
                m.object(rest, built, env, input, out)
            })
        })
    }

    fn text(
        &mut self,
        format: super::ast::Format,
        parts: &[Part],
        built: String,
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        let Some((part, rest)) = parts.split_first() else {
            self.allocate(built.len())?;
            return out(self, input.computed(Value::from(built.as_str())));
        };
        match part {
            Part::Plain(plain) => self.text(format, rest, built + plain, env, input, out),
            Part::Filter(filter) => self.each(filter, env, input, &mut |m, value| {
                let piece = text::format(format, value)?;
                m.text(format, rest, built.clone() + &piece, env, input, out)
            }),
        }
    }

    /// Binds the first pattern whose body does not fail (`?//`); variables of the others are null.
    fn bind_any(
        &mut self,
        patterns: &[Pattern],
        value: &Value,
        body: &Ast,
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        let mut all = Vec::new();
        if patterns.len() > 1 {
            patterns.iter().for_each(|pattern| pattern.variables(&mut all));
        }
        let depth = self.depth;
        for (at, pattern) in patterns.iter().enumerate() {
            let flow = self.bind_nulls(&all, pattern, value, env, &mut |m, env| m.eval(body, env, input, out));
            match flow {
                Err(Stop::Error(_)) if at + 1 < patterns.len() => self.depth = depth,
                other => return other,
            }
        }
        Ok(())
    }

    fn bind_nulls(
        &mut self,
        names: &[EcoString],
        pattern: &Pattern,
        value: &Value,
        env: Env<'_>,
        then: &mut dyn FnMut(&mut Machine<'_>, Env<'_>) -> Flow,
    ) -> Flow {
        let Some((name, rest)) = names.split_first() else { return self.bind(pattern, value, env, then) };
        let entry = Entry { bound: Bound::Variable(name.clone(), Value::Null), outer: env };
        self.bind_nulls(rest, pattern, value, Env { entry: Some(&entry) }, then)
    }

    fn bind(
        &mut self,
        pattern: &Pattern,
        value: &Value,
        env: Env<'_>,
        then: &mut dyn FnMut(&mut Machine<'_>, Env<'_>) -> Flow,
    ) -> Flow {
        match pattern {
            Pattern::Variable(name) => {
                let entry = Entry { bound: Bound::Variable(name.clone(), value.clone()), outer: env };
                then(self, Env { entry: Some(&entry) })
            }
            Pattern::Array(items) => self.bind_items(items, 0, value, env, then),
            Pattern::Object(members) => self.bind_members(members, value, env, then),
        }
    }

    fn bind_items(
        &mut self,
        items: &[Pattern],
        at: i64,
        value: &Value,
        env: Env<'_>,
        then: &mut dyn FnMut(&mut Machine<'_>, Env<'_>) -> Flow,
    ) -> Flow {
        let Some((first, rest)) = items.split_first() else { return then(self, env) };
        if !matches!(value, Value::Array(_) | Value::Null) {
            return Err(Stop::error(format!("Cannot index {} with number", value.type_name())));
        }
        let item = paths::index(value, &Value::Int(at))?;
        self.bind(first, &item, env, &mut |m, env| m.bind_items(rest, at + 1, value, env, then))
    }

    fn bind_members(
        &mut self,
        members: &[(Ast, Option<EcoString>, Option<Pattern>)],
        value: &Value,
        env: Env<'_>,
        then: &mut dyn FnMut(&mut Machine<'_>, Env<'_>) -> Flow,
    ) -> Flow {
        let Some(((key, name, pattern), rest)) = members.split_first() else { return then(self, env) };
        let input = Item::plain(value.clone());
        self.eval(key, env, &input, &mut |m, key| {
            let Value::String(_) = key.value else {
                return Err(Stop::error(format!("Cannot index {} with {}", value.type_name(), key.value.type_name())));
            };
            let member = paths::index(value, &key.value)?;
            let mut inner = |m: &mut Machine<'_>, env: Env<'_>| match pattern {
                Some(pattern) => m.bind(pattern, &member, env, &mut |m, env| m.bind_members(rest, value, env, then)),
                None => m.bind_members(rest, value, env, then),
            };
            match name {
                Some(name) => {
                    let entry = Entry { bound: Bound::Variable(name.clone(), member.clone()), outer: env };
                    inner(m, Env { entry: Some(&entry) })
                }
                None => inner(m, env),
            }
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of the form")]
    fn reduce(
        &mut self,
        source: &Ast,
        pattern: &Pattern,
        init: &Ast,
        update: &Ast,
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        self.eval(init, env, input, &mut |m, start| {
            let mut state = Some(start);
            let plain = Item::plain(input.value.clone());
            m.eval(source, env, &plain, &mut |m, item| {
                m.bind(pattern, &item.value, env, &mut |m, env| {
                    // The old state is given up first, so that its value can be changed in place.
                    let old = state.take().unwrap_or_else(|| Item::plain(Value::Null));
                    let mut last = None;
                    m.eval(update, env, &old, &mut |_, new| {
                        last = Some(new);
                        Ok(())
                    })?;
                    state = last;
                    Ok(())
                })
            })?;
            out(m, state.take().unwrap_or_else(|| input.computed(Value::Null)))
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of the form")]
    fn foreach(
        &mut self,
        source: &Ast,
        pattern: &Pattern,
        init: &Ast,
        update: &Ast,
        extract: Option<&Ast>,
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        self.eval(init, env, input, &mut |m, start| {
            let mut state = start;
            let plain = Item::plain(input.value.clone());
            m.eval(source, env, &plain, &mut |m, item| {
                m.bind(pattern, &item.value, env, &mut |m, env| {
                    let old = state.clone();
                    m.eval(update, env, &old, &mut |m, new| {
                        state = new.clone();
                        match extract {
                            Some(extract) => m.eval(extract, env, &new, out),
                            None => out(m, new),
                        }
                    })
                })
            })
        })
    }

    fn call(&mut self, name: &str, arguments: &[Ast], env: Env<'_>, input: &Item, out: Out<'_>) -> Flow {
        if let Some((entry, at)) = env.function(name, arguments.len()) {
            return match &entry.bound {
                Bound::Function(function) => self.enter(function, at, arguments, env, input, out),
                Bound::Closure(_, ast, home) => self.eval(ast, *home, input, out),
                Bound::Variable(..) | Bound::Label(..) => Ok(()),
            };
        }
        if let ControlFlow::Break(flow) = builtins::call(self, name, arguments, env, input, out) {
            return flow;
        }
        match prelude::function(name, arguments.len()) {
            Some(function) => self.enter(function, Env::EMPTY, arguments, env, input, out),
            None => Err(Stop::error(format!("{name}/{} is not defined", arguments.len()))),
        }
    }

    /// Calls `function`, defined in `home`, with filters of `env`.
    fn enter(
        &mut self,
        function: &Function,
        home: Env<'_>,
        arguments: &[Ast],
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        // In a prelude function the function itself is found again by its name; elsewhere `home` begins with it.
        self.parameters(function, 0, home, arguments, env, input, out)
    }

    #[expect(clippy::too_many_arguments, reason = "a call and how far its parameters are bound")]
    fn parameters(
        &mut self,
        function: &Function,
        bound: usize,
        home: Env<'_>,
        arguments: &[Ast],
        env: Env<'_>,
        input: &Item,
        out: Out<'_>,
    ) -> Flow {
        let (Some(parameter), Some(argument)) = (function.parameters.get(bound), arguments.get(bound)) else {
            return self.eval(&function.body, home, input, out);
        };
        let Some(name) = parameter.strip_prefix('$') else {
            let entry = Entry { bound: Bound::Closure(parameter, argument, env), outer: home };
            return self.parameters(function, bound + 1, Env { entry: Some(&entry) }, arguments, env, input, out);
        };
        self.each(argument, env, input, &mut |m, value| {
            let variable = Entry { bound: Bound::Variable(name.into(), value.clone()), outer: home };
            let literal = Ast::Literal(value.clone());
            let outer = Env { entry: Some(&variable) };
            let closure = Entry { bound: Bound::Closure(name, &literal, Env::EMPTY), outer };
            m.parameters(function, bound + 1, Env { entry: Some(&closure) }, arguments, env, input, out)
        })
    }
}

/// The path of an item that must have one.
pub(super) fn path_of(item: Item) -> Result<Array, Stop> {
    match item.path {
        Path::At(path) => Ok(path),
        Path::Lost | Path::Off => {
            Err(Stop::error(format!("Invalid path expression with result {}", text::shown(&item.value))))
        }
    }
}
