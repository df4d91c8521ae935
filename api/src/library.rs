//! All definitions of the metadata store, compiled and indexed: for the API, and as the catalog of the shards.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use trinity_engine::definition;
use trinity_engine::ids::DefinitionId;
use trinity_engine::plan::Plan;
use trinity_engine::shard::{Catalog, CatalogEntry, DefinitionState, TypePattern};
use trinity_engine::time::Timestamp;
use trinity_engine::value::Value;

use crate::metadata::workflow::{ChangeError, NewVersion, Status, Version};
use crate::metadata::{Metadata, MetadataError};

/// A version of a workflow, ready to run.
#[derive(Debug)]
pub struct Definition {
    /// As it is stored.
    pub version: Version,
    /// Compiled.
    pub plan: Arc<Plan>,
    /// What it is there for.
    pub state: DefinitionState,
}

/// A workflow: all versions of one (namespace, name).
#[derive(Debug)]
pub struct Line {
    /// Its id in the API.
    pub id: String,
    /// Orders the workflows: newer ones have higher ones.
    pub ordinal: u32,
    /// The version that stands for it: the current one, else the newest draft, else the newest.
    pub shown: Arc<Definition>,
    /// All versions, oldest first.
    pub versions: Vec<Arc<Definition>>,
}

/// All workflows, at one moment.
#[derive(Debug, Default)]
pub struct Library {
    by_number: BTreeMap<u32, Arc<Definition>>,
    lines: BTreeMap<u32, Arc<Line>>,
    by_id: HashMap<String, u32>,
}

impl Library {
    /// From what is stored. Plans are taken from `before` where they are there.
    fn build(versions: Vec<Version>, before: &Library) -> Library {
        let mut grouped: BTreeMap<String, Vec<(Version, Arc<Plan>)>> = BTreeMap::new();
        for version in versions {
            if let Some(plan) = plan_of(&version, before) {
                grouped.entry(version.workflow.clone()).or_default().push((version, plan));
            }
        }
        let mut library = Library::default();
        for (id, versions) in grouped {
            library.add(id, versions);
        }
        library
    }

    fn add(&mut self, id: String, versions: Vec<(Version, Arc<Plan>)>) {
        let newest = |status| versions.iter().rev().find(|(v, _)| v.status == status).map(|(v, _)| v.number);
        let current = newest(Status::Active);
        let shown = current.or(newest(Status::Draft)).or(newest(Status::Retired));
        let state = |version: &Version| match version.status {
            Status::Draft => DefinitionState::Draft,
            Status::Retired => DefinitionState::Retired,
            Status::Active if Some(version.number) == current => DefinitionState::Current,
            Status::Active => DefinitionState::Superseded,
        };
        let versions: Vec<Arc<Definition>> = versions
            .iter()
            .map(|(version, plan)| Definition { state: state(version), version: version.clone(), plan: plan.clone() })
            .map(Arc::new)
            .collect();
        let Some(shown) = versions.iter().find(|d| Some(d.version.number) == shown).cloned() else { return };
        let ordinal = versions.iter().map(|d| d.version.number.0).min().unwrap_or(0);
        for definition in &versions {
            self.by_number.insert(definition.version.number.0, definition.clone());
        }
        self.by_id.insert(id.clone(), ordinal);
        self.lines.insert(ordinal, Arc::new(Line { id, ordinal, shown, versions }));
    }

    /// The definition with that number.
    #[must_use]
    pub fn definition(&self, number: DefinitionId) -> Option<&Arc<Definition>> {
        self.by_number.get(&number.0)
    }

    /// The workflow with that id.
    #[must_use]
    pub fn line(&self, id: &str) -> Option<&Arc<Line>> {
        self.lines.get(self.by_id.get(id)?)
    }

    /// All workflows, newest first.
    pub fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.lines.values().rev()
    }

    /// All definitions, in order of their numbers.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_number.values()
    }
}

fn plan_of(version: &Version, before: &Library) -> Option<Arc<Plan>> {
    if let Some(known) = before.definition(version.number) {
        return Some(known.plan.clone());
    }
    match definition::compile(&version.text) {
        Ok((plan, _)) => Some(Arc::new(plan)),
        Err(findings) => {
            // It was accepted once: only another version of Trinity can see it otherwise.
            let problem = findings.first().map(|finding| finding.message.clone()).unwrap_or_default();
            tracing::error!(
                namespace = version.namespace, name = version.name, version = version.version, %problem,
                "a stored definition is refused by this version and left out"
            );
            None
        }
    }
}

/// Definitions and secrets, with everybody who needs to know of changes.
#[derive(Debug)]
pub struct Definitions {
    metadata: Arc<Metadata>,
    library: ArcSwap<Library>,
    shards: u16,
    sinks: Vec<TypePattern>,
    /// The catalog as it is now.
    catalog: ArcSwap<Catalog>,
    /// One change after the other, so that no older catalog replaces a newer one.
    changing: Mutex<()>,
}

impl Definitions {
    /// What the store holds.
    ///
    /// # Errors
    /// The store failed.
    pub async fn load(
        metadata: Arc<Metadata>,
        shards: u16,
        sinks: Vec<TypePattern>,
    ) -> Result<Definitions, MetadataError> {
        let definitions = Definitions {
            metadata,
            library: ArcSwap::default(),
            shards,
            sinks,
            catalog: ArcSwap::default(),
            changing: Mutex::new(()),
        };
        definitions.reload().await?;
        Ok(definitions)
    }

    /// All workflows as they are now.
    #[must_use]
    pub fn library(&self) -> Arc<Library> {
        self.library.load_full()
    }

    /// The catalog as it is now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The store below.
    #[must_use]
    pub fn metadata(&self) -> &Arc<Metadata> {
        &self.metadata
    }

    /// Reads the store anew and makes library and catalog of it.
    async fn reload(&self) -> Result<(), MetadataError> {
        let library = Arc::new(Library::build(self.metadata.versions().await?, &self.library.load()));
        let entries = library.definitions().map(|definition| CatalogEntry {
            id: definition.version.number,
            plan: definition.plan.clone(),
            state: definition.state,
        });
        let catalog = Catalog::new(self.shards, entries.collect(), self.metadata.secrets().await?);
        self.library.store(library);
        self.catalog.store(Arc::new(catalog.with_sinks(self.sinks.clone())));
        Ok(())
    }

    /// Adds a version, and its workflow if that is not there; `tell` gets the new catalog before anybody else changes it.
    ///
    /// # Errors
    /// The version is there already, or the store failed.
    pub async fn create(
        &self,
        new: &NewVersion<'_>,
        now: Timestamp,
        tell: impl Fn(Arc<Catalog>),
    ) -> Result<DefinitionId, ChangeError> {
        let _turn = self.changing.lock().await;
        let number = self.metadata.create(new, now).await?;
        self.changed(tell).await?;
        Ok(number)
    }

    /// Adds the next version of a workflow.
    ///
    /// # Errors
    /// As [`Metadata::update`].
    pub async fn update(
        &self,
        workflow: &str,
        new: &NewVersion<'_>,
        now: Timestamp,
        tell: impl Fn(Arc<Catalog>),
    ) -> Result<DefinitionId, ChangeError> {
        let _turn = self.changing.lock().await;
        let number = self.metadata.update(workflow, new, now).await?;
        self.changed(tell).await?;
        Ok(number)
    }

    /// Retires a workflow. Whether there was something to retire.
    ///
    /// # Errors
    /// The store failed.
    pub async fn retire(
        &self,
        workflow: &str,
        now: Timestamp,
        tell: impl Fn(Arc<Catalog>),
    ) -> Result<bool, MetadataError> {
        let _turn = self.changing.lock().await;
        let retired = self.metadata.retire(workflow, now).await?;
        self.changed(tell).await?;
        Ok(retired)
    }

    /// Sets a secret. Whether it is new.
    ///
    /// # Errors
    /// The store failed.
    pub async fn put_secret(
        &self,
        name: &str,
        value: &Value,
        now: Timestamp,
        tell: impl Fn(Arc<Catalog>),
    ) -> Result<bool, MetadataError> {
        let _turn = self.changing.lock().await;
        let new = self.metadata.put_secret(name, value, now).await?;
        self.changed(tell).await?;
        Ok(new)
    }

    /// Forgets a secret. Whether it was there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_secret(&self, name: &str, tell: impl Fn(Arc<Catalog>)) -> Result<bool, MetadataError> {
        let _turn = self.changing.lock().await;
        let was = self.metadata.delete_secret(name).await?;
        self.changed(tell).await?;
        Ok(was)
    }

    async fn changed(&self, tell: impl Fn(Arc<Catalog>)) -> Result<(), MetadataError> {
        self.reload().await?;
        tell(self.catalog());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::KeySource;
    use crate::metadata::workflow::Format;

    fn text(version: &str) -> String {
        format!("document: {{dsl: 1.0.0, namespace: n, name: a, version: {version}}}\ndo: [{{s: {{set: {{x: 1}}}}}}]\n")
    }

    #[tokio::test]
    async fn the_newest_active_version_is_current_and_the_catalog_follows() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key");
        let store = Metadata::open(&folder.path().join("m.db"), 2, KeySource::File(&key)).await.expect("a store");
        let definitions = Definitions::load(Arc::new(store), 4, Vec::new()).await.expect("loaded");
        let told = std::sync::Mutex::new(0);
        let tell = |_: Arc<Catalog>| *told.lock().expect("no panic") += 1;
        for (version, status) in [("1.0.0", Status::Active), ("2.0.0", Status::Active), ("3.0.0", Status::Draft)] {
            let text = text(version);
            let new = NewVersion { namespace: "n", name: "a", version, status, format: Format::Yaml, text: &text };
            definitions.create(&new, Timestamp(1), tell).await.expect("created");
        }
        let library = definitions.library();
        let line = library.lines().next().expect("one workflow");
        assert_eq!(line.shown.version.version, "2.0.0");
        let states: Vec<_> = line.versions.iter().map(|definition| definition.state).collect();
        assert_eq!(states, [DefinitionState::Superseded, DefinitionState::Current, DefinitionState::Draft]);
        let current = definitions.catalog().find(&"n".into(), &"a".into(), None);
        assert_eq!(current, Some(DefinitionId(2)));

        let id = line.id.clone();
        assert!(definitions.retire(&id, Timestamp(2), tell).await.expect("retired"));
        assert_eq!(definitions.catalog().find(&"n".into(), &"a".into(), None), None);
        assert!(definitions.catalog().entry(DefinitionId(2)).is_some(), "its executions go on");
        definitions.put_secret("s", &Value::from(1), Timestamp(3), tell).await.expect("set");
        assert_eq!(definitions.catalog().secrets().get("s"), Some(&Value::Int(1)));
        assert_eq!(*told.lock().expect("no panic"), 5);
    }
}
