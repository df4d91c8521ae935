//! Many workflows that wait, each a W1 of its own; an event starts one of them.

use std::sync::Arc;

use trinity_engine::definition::compile;
use trinity_engine::event::CloudEvent;
use trinity_engine::ids::DefinitionId;
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState};
use trinity_engine::value::Value;

use crate::w1;

/// By what the workflows tell their events apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Each waits for a type of its own.
    ByType,
    /// All wait for one type, each from a source of its own.
    BySource,
}

impl Waiting {
    /// Both.
    pub const ALL: [Waiting; 2] = [Waiting::ByType, Waiting::BySource];

    /// In words.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Waiting::ByType => "each for a type of its own",
            Waiting::BySource => "all for one type, each from a source of its own",
        }
    }

    /// So many workflows.
    ///
    /// # Panics
    /// When a definition is not valid, which the test excludes.
    #[must_use]
    pub fn catalog(self, shards: u16, workflows: u32) -> Arc<Catalog> {
        let entry = |number: u32| {
            let name = w1::DEFINITION.replace("name: w1", &format!("name: w1-{number}"));
            let awaited = match self {
                Waiting::ByType => format!("type: {}.{number}", w1::EVENT_TYPE),
                Waiting::BySource => format!("type: {}, source: /sensors/{number}", w1::EVENT_TYPE),
            };
            let text = name.replace(&format!("type: {}", w1::EVENT_TYPE), &awaited);
            let plan = compile(&text).expect("a valid definition").0;
            CatalogEntry { id: DefinitionId(number), plan: Arc::new(plan), state: DefinitionState::Current }
        };
        Arc::new(Catalog::new(shards, (0..workflows).map(entry).collect(), Value::Null))
    }

    /// Makes an event start the workflow with this number.
    pub fn address(self, event: &mut CloudEvent, workflow: u64) {
        match self {
            Waiting::ByType => event.event_type = format!("{}.{workflow}", w1::EVENT_TYPE).into(),
            Waiting::BySource => event.source = format!("/sensors/{workflow}").into(),
        }
    }
}
