//! Which definitions one event alone may start. Where a definition demands that an attribute has a certain value it is found by that
//! value, so that an event costs the same however many others wait for other values.

use ecow::EcoString;
use rustc_hash::FxHashMap;

use crate::event::{CloudEvent, attribute};
use crate::ids::DefinitionId;
use crate::plan::EventFilter;

/// A filter of a `schedule.on` by which one event starts one execution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Starter {
    pub definition: DefinitionId,
    /// Which of the strategy's filters; `None`: every event.
    pub filter: Option<u16>,
}

/// The starters of one type, or those of every type. What is found may still not pass its filter; what is not found would not.
#[derive(Debug, Default)]
pub(super) struct Starters {
    /// By the name of an attribute and the value that it must have.
    valued: Vec<(EcoString, FxHashMap<EcoString, Vec<Starter>>)>,
    /// Those that demand nothing that could be looked up.
    plain: Vec<Starter>,
}

impl Starters {
    /// Adds one, found by the value that it demands of an attribute, or always.
    pub fn add(&mut self, starter: Starter, demanded: Option<(&str, &str)>) {
        let Some((name, value)) = demanded else { return self.plain.push(starter) };
        let at = self.valued.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.valued.push((name.into(), FxHashMap::default()));
            self.valued.len() - 1
        });
        self.valued[at].1.entry(value.into()).or_default().push(starter);
    }

    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.valued.is_empty()
    }

    /// What the event may start.
    pub fn of<'a>(&'a self, event: &'a CloudEvent) -> impl Iterator<Item = Starter> + use<'a> {
        let found = self.valued.iter().filter_map(|(name, by_value)| by_value.get(attribute(event, name)?.as_str()?));
        found.flatten().chain(&self.plain).copied()
    }
}

/// An attribute besides the type, and the text that a filter demands of it.
pub(super) fn demanded(filter: &EventFilter) -> Option<(&str, &str)> {
    let mut others = filter.literals.iter().filter(|(name, _)| name != "type" && name != "specversion");
    others.find_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn starter(number: u32) -> Starter {
        Starter { definition: DefinitionId(number), filter: Some(0) }
    }

    fn started(starters: &Starters, event: &CloudEvent) -> Vec<u32> {
        starters.of(event).map(|starter| starter.definition.0).collect()
    }

    #[test]
    fn of_a_thousand_that_wait_for_other_values_none_is_looked_at() {
        let mut starters = Starters::default();
        assert!(starters.is_empty());
        for number in 0..1_000 {
            let name = if number % 2 == 0 { "source" } else { "line" };
            starters.add(starter(number), Some((name, &format!("s{number}"))));
        }
        assert!(!starters.is_empty());
        starters.add(starter(1_000), None);
        let mut event = CloudEvent::new("1", "s4", "reading");
        assert_eq!(started(&starters, &event), [4, 1_000]);
        event.extensions.push(("line".into(), Value::String("s7".into())));
        assert_eq!(started(&starters, &event), [4, 7, 1_000]);
        event.source = "s7".into();
        assert_eq!(started(&starters, &event), [7, 1_000]);
    }

    #[test]
    fn the_first_text_besides_the_type_is_demanded() {
        let literal = |name: &str, value: Value| (EcoString::from(name), value);
        let text = |text: &str| Value::String(text.into());
        let filter = |literals| EventFilter { literals, predicates: Vec::new(), correlate: Vec::new() };
        let of_type = literal("type", text("reading"));
        assert_eq!(demanded(&filter(vec![of_type.clone(), literal("data", Value::Bool(true))])), None);
        let both = filter(vec![of_type, literal("data", Value::Bool(true)), literal("source", text("a"))]);
        assert_eq!(demanded(&both), Some(("source", "a")));
    }
}
