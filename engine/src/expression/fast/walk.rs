//! Walking the tree of an expression that goes the short way.

use std::borrow::Cow;
use std::sync::Arc;

use ecow::EcoString;

use super::{Count, Fast, Kind, Node, Part};
use crate::expression::Context;
use crate::expression::arithmetic;
use crate::expression::ast::Operator;
use crate::expression::builtins::regex::Kept;
use crate::expression::builtins::{Native, json, paths};
use crate::expression::errors::{Stop, typed};
use crate::expression::run::Run;
use crate::value::{Array, Map, Value};

/// One evaluation by the short way.
pub struct Walk<'c> {
    run: Run<'c>,
    locals: Vec<Value>,
}

type Lent<'v> = Result<Cow<'v, Value>, Stop>;

/// Takes outputs one after the other.
type Out<'o, 'c> = &'o mut dyn FnMut(&mut Walk<'c>, Cow<'_, Value>) -> Result<(), Stop>;

fn lent<'v>(value: Value) -> Lent<'v> {
    Ok(Cow::Owned(value))
}

/// A number as a double, unless it is kept with its digits.
#[inline]
fn plain(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

impl<'c> Walk<'c> {
    pub fn new(fast: &Fast, cx: &'c Context<'c>, written: Option<&Arc<Kept>>) -> Walk<'c> {
        let locals = if fast.locals == 0 { Vec::new() } else { vec![Value::Null; fast.locals] };
        Walk { run: Run::new(cx, written), locals }
    }

    /// The first output, if there is one.
    #[cfg_attr(feature = "jaq-alone", expect(dead_code, reason = "jaq answers"))]
    pub fn first(&mut self, fast: &Fast, input: &Value) -> Result<Option<Value>, Stop> {
        if fast.node.count == Count::One {
            return self.one(&fast.node, input).map(|value| Some(value.into_owned()));
        }
        self.first_of(&fast.node, input)
    }

    /// Each output, until `out` has enough.
    pub fn all(
        &mut self,
        fast: &Fast,
        input: &Value,
        out: &mut dyn FnMut(Value) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        match self.each(&fast.node, input, &mut |_, value| out(value.into_owned())) {
            Err(Stop::Enough) => Ok(()),
            done => done,
        }
    }

    fn first_of(&mut self, node: &Node, input: &Value) -> Result<Option<Value>, Stop> {
        let mut found = None;
        let done = self.each(node, input, &mut |_, value| {
            found = Some(value.into_owned());
            Err(Stop::Enough)
        });
        match done {
            Ok(()) | Err(Stop::Enough) => Ok(found),
            Err(stop) => Err(stop),
        }
    }

    /// The output of a node that gives one. What is most often there comes first, for a small frame.
    fn one<'v>(&mut self, node: &'v Node, input: &'v Value) -> Lent<'v>
    where
        'c: 'v,
    {
        match &node.kind {
            Kind::Operator(operator, a, b) => self.operated([node, a, b], *operator, input),
            Kind::Path(base, keys) if matches!(base.kind, Kind::Input) => {
                self.run.charge(1)?;
                self.reach(input, keys)
            }
            Kind::Input => {
                self.run.charge(1)?;
                Ok(Cow::Borrowed(input))
            }
            Kind::Constant(value) => {
                self.run.charge(1)?;
                Ok(Cow::Borrowed(value))
            }
            _ => self.one_of_many(node, input),
        }
    }

    fn operated<'v>(&mut self, [node, a, b]: [&'v Node; 3], operator: Operator, input: &'v Value) -> Lent<'v>
    where
        'c: 'v,
    {
        if let Some(number) = self.number(node, input) {
            return lent(Value::number(number));
        }
        self.run.charge(1)?;
        // The right side first: its error is the one that shows.
        let right = self.one(b, input)?;
        let left = self.one(a, input)?;
        lent(self.apply(operator, left, right)?)
    }

    /// The number that a node gives, where it and all that it is computed from are plain numbers. Else nothing has happened, and
    /// the node is evaluated as others are.
    fn number(&mut self, node: &Node, input: &Value) -> Option<f64> {
        self.run.charge(1).ok()?;
        match &node.kind {
            Kind::Constant(value) => plain(value),
            Kind::Input => plain(input),
            Kind::Local(slot) => plain(&self.locals[*slot]),
            Kind::Path(base, keys) => {
                let mut value = match &base.kind {
                    Kind::Input => input,
                    Kind::Local(slot) => &self.locals[*slot],
                    _ => return None,
                };
                for key in keys {
                    let (Value::Object(map), Value::String(key)) = (value, key) else { return None };
                    value = map.get(key)?;
                }
                plain(value)
            }
            Kind::Operator(operator, a, b) => {
                let right = self.number(b, input)?;
                let left = self.number(a, input)?;
                arithmetic::of_doubles(*operator, left, right)
            }
            _ => None,
        }
    }

    #[inline(never)]
    fn one_of_many<'v>(&mut self, node: &'v Node, input: &'v Value) -> Lent<'v>
    where
        'c: 'v,
    {
        self.run.charge(1)?;
        match &node.kind {
            Kind::Input => Ok(Cow::Borrowed(input)),
            Kind::Constant(value) => Ok(Cow::Borrowed(value)),
            Kind::Operator(operator, a, b) => self.operated([node, a, b], *operator, input),
            Kind::Argument(number) => Ok((self.run.cx.variables)(*number)),
            Kind::Local(slot) => lent(self.locals[*slot].clone()),
            Kind::Path(base, keys) => {
                let whole = self.one(base, input)?;
                self.follow(whole, keys)
            }
            Kind::Index(term, key) => {
                let key = self.one(key, input)?;
                let whole = self.one(term, input)?;
                self.member(whole, &key)
            }
            Kind::Pipe(a, b) => match self.one(a, input)? {
                Cow::Borrowed(value) => self.one(b, value),
                Cow::Owned(value) => lent(self.owned(b, value)?),
            },
            Kind::And(a, b) => {
                let holds = self.one(a, input)?.is_truthy() && self.one(b, input)?.is_truthy();
                lent(Value::Bool(holds))
            }
            Kind::Or(a, b) => {
                let holds = self.one(a, input)?.is_truthy() || self.one(b, input)?.is_truthy();
                lent(Value::Bool(holds))
            }
            Kind::Alternative(a, b) => {
                let first = match a.count {
                    Count::One => Some(self.one(a, input)?),
                    _ => self.first_of(a, input)?.map(Cow::Owned),
                };
                match first.filter(|value| value.is_truthy()) {
                    Some(value) => Ok(value),
                    None => self.one(b, input),
                }
            }
            Kind::If(condition, then, otherwise) => {
                let holds = self.one(condition, input)?.is_truthy();
                self.one(if holds { then } else { otherwise }, input)
            }
            Kind::Try(body, handler) => match (self.one(body, input), handler) {
                (Err(stop), Some(handler)) => {
                    let caught = stop.caught()?;
                    lent(self.owned(handler, caught)?)
                }
                (done, _) => done,
            },
            Kind::Record(members) => lent(self.record(members, input)?),
            Kind::Object(members) => lent(self.object(members, input)?),
            Kind::List(items) => {
                self.run.allocate_items(items.len())?;
                let mut list = Array::with_capacity(items.len());
                for item in items {
                    list.push(self.one(item, input)?.into_owned());
                }
                lent(Value::Array(list))
            }
            Kind::Collect(items) => {
                let mut list = Array::new();
                self.each(items, input, &mut |walk, value| {
                    walk.run.allocate(2 * size_of::<Value>())?;
                    list.push(value.into_owned());
                    Ok(())
                })?;
                lent(Value::Array(list))
            }
            Kind::Text(parts) => lent(self.text(parts, input)?),
            Kind::Native(native, arguments) => lent(self.native(native, arguments, input, None)?),
            Kind::Bind(slot, source, body) => {
                self.locals[*slot] = self.one(source, input)?.into_owned();
                self.one(body, input)
            }
            Kind::Reduce(slot, source, init, update) => lent(self.reduce(*slot, [source, init, update], input)?),
            Kind::IsEmpty(outputs) => {
                let none = self.first_of(outputs, input)?.is_none();
                lent(Value::Bool(none))
            }
            Kind::Set(..) | Kind::Update(..) | Kind::Modify(..) | Kind::Delete(_) => {
                lent(self.changed(node, input.clone())?)
            }
            // These give any number of outputs, and nobody asks them for one.
            Kind::IndexOptional(..)
            | Kind::Each(..)
            | Kind::Empty
            | Kind::Comma(_)
            | Kind::First(_)
            | Kind::Range(..) => lent(self.first_of(node, input)?.unwrap_or_default()),
        }
    }

    /// The same on a value that is given up, so that it can be changed in place.
    fn owned(&mut self, node: &Node, input: Value) -> Result<Value, Stop> {
        match &node.kind {
            Kind::Input => Ok(input),
            Kind::Pipe(a, b) => {
                let value = self.owned(a, input)?;
                self.owned(b, value)
            }
            Kind::Operator(operator, a, b) if matches!(a.kind, Kind::Input) => {
                self.run.charge(2)?;
                let right = self.one(b, &input)?.into_owned();
                arithmetic::apply(&mut self.run, *operator, input, right)
            }
            Kind::If(condition, then, otherwise) => {
                let holds = self.one(condition, &input)?.is_truthy();
                self.owned(if holds { then } else { otherwise }, input)
            }
            Kind::Native(native, arguments) => {
                self.run.charge(1)?;
                self.native(native, arguments, &Value::Null, Some(input))
            }
            Kind::Set(..) | Kind::Update(..) | Kind::Modify(..) | Kind::Delete(_) => self.changed(node, input),
            _ => self.one(node, &input).map(Cow::into_owned),
        }
    }

    #[inline]
    fn apply(&mut self, operator: Operator, a: Cow<'_, Value>, b: Cow<'_, Value>) -> Result<Value, Stop> {
        match arithmetic::of_numbers(operator, &a, &b) {
            Some(value) => Ok(value),
            None => match operator {
                Operator::Equal => arithmetic::equal(&mut self.run, &a, &b).map(Value::Bool),
                Operator::Unequal => arithmetic::equal(&mut self.run, &a, &b).map(|equal| Value::Bool(!equal)),
                _ => arithmetic::apply(&mut self.run, operator, a.into_owned(), b.into_owned()),
            },
        }
    }

    /// What lies behind constant keys.
    fn follow<'v>(&mut self, whole: Cow<'v, Value>, keys: &[Value]) -> Lent<'v> {
        match whole {
            Cow::Borrowed(value) => self.reach(value, keys),
            Cow::Owned(mut value) => {
                for key in keys {
                    value = paths::index(&mut self.run, &value, key)?;
                }
                lent(value)
            }
        }
    }

    /// The same in a value that stays.
    #[inline]
    fn reach<'v>(&mut self, mut value: &'v Value, keys: &[Value]) -> Lent<'v> {
        for (place, key) in keys.iter().enumerate() {
            value = match (value, key) {
                (Value::Object(map), Value::String(key)) => map.get(key).unwrap_or(&Value::Null),
                _ => return self.reach_otherwise(value, &keys[place..]),
            };
        }
        Ok(Cow::Borrowed(value))
    }

    #[inline(never)]
    fn reach_otherwise<'v>(&mut self, value: &Value, keys: &[Value]) -> Lent<'v> {
        let part = paths::index(&mut self.run, value, &keys[0])?;
        self.follow(Cow::Owned(part), &keys[1..])
    }

    fn member<'v>(&mut self, whole: Cow<'v, Value>, key: &Value) -> Lent<'v> {
        if let (Cow::Borrowed(Value::Object(map)), Value::String(key)) = (&whole, key) {
            return Ok(map.get(key).map_or(Cow::Owned(Value::Null), Cow::Borrowed));
        }
        lent(paths::index(&mut self.run, &whole, key)?)
    }

    fn record(&mut self, members: &[(EcoString, Node)], input: &Value) -> Result<Value, Stop> {
        self.run.allocate_items(2 * members.len())?;
        let mut map = Map::with_capacity(members.len());
        for (key, value) in members {
            let value = self.one(value, input)?.into_owned();
            map.push_new(key.clone(), value);
        }
        Ok(Value::Object(map))
    }

    fn object(&mut self, members: &[(Node, Node)], input: &Value) -> Result<Value, Stop> {
        self.run.allocate_items(2 * members.len())?;
        let mut map = Map::with_capacity(members.len());
        for (key, value) in members {
            let key = self.one(key, input)?;
            let value = self.one(value, input)?;
            let Value::String(key) = &*key else {
                return Err(Stop::error(format!("Cannot use {} as object key", typed(&key))));
            };
            map.insert(key.clone(), value.into_owned());
        }
        Ok(Value::Object(map))
    }

    /// The last part is evaluated first.
    fn text(&mut self, parts: &[Part], input: &Value) -> Result<Value, Stop> {
        let mut values = Vec::with_capacity(parts.len());
        for part in parts.iter().rev() {
            if let Part::Filter(filter, format) = part {
                let value = self.one(filter, input)?;
                values.push(match format {
                    None => value,
                    Some(format) => {
                        let format = builtin_format(&mut self.run, value.into_owned(), format)?;
                        Cow::Owned(format)
                    }
                });
            }
        }
        let mut text = EcoString::new();
        for part in parts {
            match part {
                Part::Plain(plain) => text.push_str(plain),
                Part::Filter(..) => match values.pop().as_deref() {
                    Some(Value::String(part)) => {
                        self.run.allocate(part.len())?;
                        text.push_str(part);
                    }
                    Some(other) => text.push_str(&json::written(&mut self.run, other)?),
                    None => {}
                },
            }
        }
        Ok(Value::String(text))
    }

    /// Calls a function on `given`, or else on a copy of `input`.
    fn native(
        &mut self,
        native: &'static Native,
        arguments: &[Node],
        input: &Value,
        given: Option<Value>,
    ) -> Result<Value, Stop> {
        let mut values = [const { Value::Null }; 3];
        let seen = given.as_ref().unwrap_or(input);
        // The last argument is evaluated first.
        for (value, argument) in values.iter_mut().zip(arguments).rev() {
            *value = self.one(argument, seen)?.into_owned();
        }
        let input = given.unwrap_or_else(|| input.clone());
        (native.call)(&mut self.run, input, &mut values[..arguments.len()])
    }

    fn reduce(&mut self, slot: usize, parts: [&Node; 3], input: &Value) -> Result<Value, Stop> {
        let [source, init, update] = parts;
        let mut state = self.one(init, input)?.into_owned();
        self.each(source, input, &mut |walk, value| {
            walk.locals[slot] = value.into_owned();
            let old = std::mem::take(&mut state);
            state = walk.owned(update, old)?;
            Ok(())
        })?;
        Ok(state)
    }

    /// What an assignment or a deletion makes of `whole`.
    fn changed(&mut self, node: &Node, whole: Value) -> Result<Value, Stop> {
        self.run.charge(1)?;
        match &node.kind {
            Kind::Set(path, value) => {
                let new = self.one(value, &whole)?.into_owned();
                // The path is looked at first, for its errors are the ones that show.
                paths::get(&mut self.run, &whole, path)?;
                paths::set(&mut self.run, whole, path, new)
            }
            Kind::Modify(operator, path, value) => {
                let operand = self.one(value, &whole)?.into_owned();
                let old = paths::get(&mut self.run, &whole, path)?;
                let new = arithmetic::apply(&mut self.run, *operator, old, operand)?;
                paths::set(&mut self.run, whole, path, new)
            }
            Kind::Update(path, change) => {
                let old = paths::get(&mut self.run, &whole, path)?;
                match self.first_of(change, &old)? {
                    Some(new) => paths::set(&mut self.run, whole, path, new),
                    None => self.deleted(whole, std::slice::from_ref(path)),
                }
            }
            Kind::Delete(paths) => {
                for path in paths {
                    paths::get(&mut self.run, &whole, path)?;
                }
                self.deleted(whole, paths)
            }
            _ => Ok(whole),
        }
    }

    fn deleted(&mut self, whole: Value, paths: &[Value]) -> Result<Value, Stop> {
        let list = paths.iter().cloned().collect();
        paths::delpaths(&mut self.run, whole, &mut [list])
    }

    /// Hands each output of a node to `out`.
    fn each(&mut self, node: &Node, input: &Value, out: Out<'_, 'c>) -> Result<(), Stop> {
        if node.count == Count::One {
            let value = self.one(node, input)?;
            return out(self, value);
        }
        self.run.charge(1)?;
        match &node.kind {
            Kind::Empty => Ok(()),
            Kind::Path(base, keys) => self.each(base, input, &mut |walk, whole| {
                let value = walk.follow(whole, keys)?;
                out(walk, value)
            }),
            Kind::Index(term, key) => {
                let key = self.one(key, input)?;
                self.each(term, input, &mut |walk, whole| {
                    let value = walk.member(whole, &key)?;
                    out(walk, value)
                })
            }
            Kind::IndexOptional(term, key) => {
                let key = self.one(key, input)?;
                self.each(term, input, &mut |walk, whole| match walk.member(whole, &key) {
                    Ok(value) => out(walk, value),
                    Err(Stop::Error(_)) => Ok(()),
                    Err(stop) => Err(stop),
                })
            }
            Kind::Each(term, optional) => self.each(term, input, &mut |walk, whole| walk.parts(&whole, *optional, out)),
            Kind::Pipe(a, b) => self.each(a, input, &mut |walk, value| walk.each(b, &value, out)),
            Kind::Comma(outputs) => outputs.iter().try_for_each(|output| self.each(output, input, out)),
            Kind::Alternative(a, b) => {
                let mut found = false;
                self.each(a, input, &mut |walk, value| {
                    if !value.is_truthy() {
                        return Ok(());
                    }
                    found = true;
                    out(walk, value)
                })?;
                if found { Ok(()) } else { self.each(b, input, out) }
            }
            Kind::If(condition, then, otherwise) => {
                let holds = self.one(condition, input)?.is_truthy();
                self.each(if holds { then } else { otherwise }, input, out)
            }
            Kind::Try(body, handler) => {
                let caught = match self.one(body, input) {
                    Ok(value) => return out(self, value),
                    Err(stop) => stop.caught()?,
                };
                handler.as_deref().map_or(Ok(()), |handler| self.each(handler, &caught, out))
            }
            Kind::Bind(slot, source, body) => self.each(source, input, &mut |walk, value| {
                walk.locals[*slot] = value.into_owned();
                walk.each(body, input, out)
            }),
            Kind::First(outputs) => match self.first_of(outputs, input)? {
                Some(value) => out(self, Cow::Owned(value)),
                None => Ok(()),
            },
            Kind::Range(from, to) => {
                let from = self.one(from, input)?.into_owned();
                let to = self.one(to, input)?.into_owned();
                self.range(from, &to, out)
            }
            // All others give one output.
            _ => {
                let value = self.one(node, input)?;
                out(self, value)
            }
        }
    }

    fn parts(&mut self, whole: &Value, optional: bool, out: Out<'_, 'c>) -> Result<(), Stop> {
        let mut part = |value| {
            self.run.charge(1)?;
            out(self, Cow::Borrowed(value))
        };
        match whole {
            Value::Array(items) => items.iter().try_for_each(part),
            Value::Object(map) => map.values().try_for_each(&mut part),
            _ if optional => Ok(()),
            other => Err(Stop::error(format!("Cannot iterate over {}", typed(other)))),
        }
    }

    fn range(&mut self, from: Value, to: &Value, out: Out<'_, 'c>) -> Result<(), Stop> {
        let (Some(mut at), Some(to)) = (from.as_f64(), to.as_f64()) else {
            return Err(Stop::error("Range bounds must be numeric"));
        };
        let mut value = from;
        while at < to {
            self.run.charge(1)?;
            out(self, Cow::Owned(value))?;
            at += 1.0;
            value = Value::number(at);
        }
        Ok(())
    }
}

fn builtin_format(run: &mut Run<'_>, value: Value, format: &EcoString) -> Result<Value, Stop> {
    crate::expression::builtins::formats::format(run, value, &mut [Value::String(format.clone())])
}
