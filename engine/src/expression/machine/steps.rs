//! Steps into values, and the paths that are counted on the way.

use super::{Done, Machine, Next, before};
use crate::expression::builtins::paths;
use crate::expression::errors::{Stop, shown, typed};
use crate::expression::program::Target;
use crate::value::Value;

impl Machine<'_, '_> {
    /// Whether paths are counted here.
    pub(super) const fn counts(&self) -> bool {
        self.aside == 0 && self.path.is_some()
    }

    pub(super) fn step_path(&mut self, key: &Value, value: &Value) -> Result<(), Stop> {
        if self.aside == 0
            && let Some(path) = &mut self.path
        {
            self.run.allocate_items(1)?;
            path.push(key.clone());
            self.place = value.clone();
        }
        Ok(())
    }

    pub(super) fn index(&mut self, value: Value, key: &Value, optional: bool) -> Done {
        if self.counts() && !value.is_same(&self.place) {
            let (key, value) = (shown(key), shown(&value));
            let text = format!("Invalid path expression near attempt to access element {key} of {value}");
            return Err(Stop::error(text));
        }
        match paths::index(&mut self.run, &value, key) {
            Ok(found) => {
                self.step_path(key, &found)?;
                self.push(found);
                Ok(Next::On)
            }
            Err(Stop::Error(_)) if optional => Ok(Next::Back),
            Err(stop) => Err(stop),
        }
    }

    pub(super) fn each(&mut self, optional: bool) -> Done {
        let container = self.pop();
        if self.counts() && !container.is_same(&self.place) {
            let text = format!("Invalid path expression near attempt to iterate through {}", shown(&container));
            return Err(Stop::error(text));
        }
        match &container {
            Value::Array(_) | Value::Object(_) => self.element(container, 0, self.at - 1),
            _ if optional => Ok(Next::Back),
            _ => Err(Stop::error(format!("Cannot iterate over {}", typed(&container)))),
        }
    }

    /// The element at `place`, with a fork for those behind it.
    pub(super) fn element(&mut self, container: Value, place: usize, at: Target) -> Done {
        let (len, found) = match &container {
            Value::Array(list) => {
                let key = || Value::Int(place as i64);
                (list.len(), list.get(place).map(|value| (self.counts().then(key), value.clone())))
            }
            Value::Object(map) => {
                let named = |key: &ecow::EcoString| self.counts().then(|| Value::String(key.clone()));
                (map.len(), map.at(place).map(|(key, value)| (named(key), value.clone())))
            }
            _ => (0, None),
        };
        let Some((key, value)) = found else { return Ok(Next::Back) };
        if place + 1 < len {
            // What the way back finds is the container and the place; this way they are not there.
            let top = self.top;
            self.push(container);
            self.push(Value::Int(place as i64));
            self.fork(at)?;
            self.top = top;
        }
        if let Some(key) = key {
            self.step_path(&key, &value)?;
        }
        self.push(value);
        Ok(Next::On)
    }

    pub(super) fn path_start(&mut self) -> Result<(), Stop> {
        let value = self.pop();
        let before = self.path.take().map_or(Value::Null, Value::from);
        self.push(before);
        self.fork(self.at - 1)?;
        self.push(Value::from(self.aside));
        let place = std::mem::replace(&mut self.place, value.clone());
        self.push(place);
        self.push(value);
        self.path = Some(Vec::new());
        self.aside = 0;
        Ok(())
    }

    pub(super) fn path_end(&mut self) -> Result<(), Stop> {
        let value = self.pop();
        if self.counts() && !value.is_same(&self.place) {
            return Err(Stop::error(format!("Invalid path expression with result {}", shown(&value))));
        }
        let place = self.pop();
        let aside = self.pop();
        let outer = self.pop();
        let path = self.path.take().unwrap_or_default();
        self.run.allocate_items(path.len())?;
        let path = Value::from(path);
        self.path = before(&outer);
        // The way back needs the path so far.
        let top = self.top;
        self.push(path.clone());
        self.fork(self.at - 1)?;
        self.top = top;
        self.push(path);
        self.aside = aside.as_i64().unwrap_or(0) as u32;
        self.place = place;
        Ok(())
    }

    pub(super) fn get_path(&mut self) -> Result<(), Stop> {
        let value = self.pop();
        let path = self.pop();
        let found = paths::get(&mut self.run, &value, &path)?;
        if self.counts()
            && value.is_same(&self.place)
            && let Value::Array(keys) = &path
        {
            self.run.allocate_items(keys.len())?;
            if let Some(path) = &mut self.path {
                path.extend_from_slice(keys);
            }
            self.place = found.clone();
        }
        self.push(found);
        Ok(())
    }
}
