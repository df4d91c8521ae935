//! Workflows: a line for each (namespace, name), and below it the versions, each with its definition as it was given.

use sqlx::FromRow;
use trinity_engine::ids::DefinitionId;
use trinity_engine::time::Timestamp;
use uuid::Uuid;

use super::{Metadata, MetadataError, from_time, to_time};

/// Whether a version is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing starts it by itself.
    Draft,
    /// In use.
    Active,
    /// Nothing starts it any more; executions that run go on.
    Retired,
}

impl Status {
    /// Its name in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Active => "active",
            Status::Retired => "retired",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Status> {
        [Status::Draft, Status::Active, Status::Retired].into_iter().find(|status| status.as_str() == name)
    }
}

/// How a definition was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Yaml => "yaml",
        }
    }
}

/// A version of a workflow.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its number, which the journal knows it by.
    pub number: DefinitionId,
    /// The line it belongs to.
    pub workflow: String,
    /// `document.namespace`.
    pub namespace: String,
    /// `document.name`.
    pub name: String,
    /// `document.version`.
    pub version: String,
    /// Whether it is in use.
    pub status: Status,
    /// How it was written.
    pub format: Format,
    /// The definition.
    pub text: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When its status changed last.
    pub updated_at: Timestamp,
}

/// A version to add.
#[derive(Clone, Copy, Debug)]
pub struct NewVersion<'a> {
    /// `document.namespace`.
    pub namespace: &'a str,
    /// `document.name`.
    pub name: &'a str,
    /// `document.version`.
    pub version: &'a str,
    /// Draft or active.
    pub status: Status,
    /// How it is written.
    pub format: Format,
    /// The definition.
    pub text: &'a str,
}

/// Why a workflow can't be changed so.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// That version is there, and in use.
    #[error("the version {0} is there already")]
    VersionExists(String),
    /// There is no such workflow.
    #[error("there is no such workflow")]
    Unknown,
    /// It was deleted.
    #[error("the workflow was deleted")]
    Retired,
    /// The definition is one of another workflow.
    #[error("the definition is one of {found}, not of {expected}")]
    OtherWorkflow {
        /// `namespace/name` of the workflow.
        expected: String,
        /// `namespace/name` of the definition.
        found: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] MetadataError),
}

impl From<sqlx::Error> for ChangeError {
    fn from(error: sqlx::Error) -> ChangeError {
        ChangeError::Store(error.into())
    }
}

#[derive(FromRow)]
struct Row {
    number: i64,
    workflow: String,
    namespace: String,
    name: String,
    version: String,
    status: String,
    format: String,
    text: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<Row> for Version {
    type Error = MetadataError;

    fn try_from(row: Row) -> Result<Version, MetadataError> {
        let damaged = |problem: String| MetadataError::Damaged { what: "a definition", problem };
        let number = u32::try_from(row.number).map_err(|_| damaged(format!("its number is {}", row.number)))?;
        let status = Status::parse(&row.status).ok_or_else(|| damaged(format!("its status is {}", row.status)))?;
        Ok(Version {
            number: DefinitionId(number),
            workflow: row.workflow,
            namespace: row.namespace,
            name: row.name,
            version: row.version,
            status,
            format: if row.format == Format::Json.as_str() { Format::Json } else { Format::Yaml },
            text: row.text,
            created_at: to_time(row.created_at),
            updated_at: to_time(row.updated_at),
        })
    }
}

type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

impl Metadata {
    /// All versions of all workflows, deleted ones too, in order of their numbers.
    ///
    /// # Errors
    /// The store failed.
    pub async fn versions(&self) -> Result<Vec<Version>, MetadataError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT d.number, d.workflow, w.namespace, w.name, d.version, d.status, d.format, d.text, d.created_at, d.updated_at
             FROM definitions d JOIN workflows w ON w.id = d.workflow ORDER BY d.number",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Version::try_from).collect()
    }

    /// Adds a version, and its workflow if that is not there.
    ///
    /// # Errors
    /// The version is there already, or the store failed.
    pub async fn create(&self, new: &NewVersion<'_>, now: Timestamp) -> Result<DefinitionId, ChangeError> {
        let _turn = self.writing.lock().await;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let found: Option<(String,)> = sqlx::query_as("SELECT id FROM workflows WHERE namespace = ? AND name = ?")
            .bind(new.namespace)
            .bind(new.name)
            .fetch_optional(&mut *transaction)
            .await?;
        let workflow = match found {
            Some((id,)) => id,
            None => {
                let id = Uuid::new_v4().to_string();
                sqlx::query("INSERT INTO workflows (id, namespace, name) VALUES (?, ?, ?)")
                    .bind(&id)
                    .bind(new.namespace)
                    .bind(new.name)
                    .execute(&mut *transaction)
                    .await?;
                id
            }
        };
        if status_in_use(&mut transaction, &workflow, new.version).await?.is_some() {
            return Err(ChangeError::VersionExists(new.version.to_owned()));
        }
        let number = insert(&mut transaction, &workflow, new, now).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Adds the next version of a workflow. A draft of the same version is replaced; it keeps its number for the executions
    /// that were tried with it.
    ///
    /// # Errors
    /// The workflow is not there or was deleted, the definition is another workflow's, or its version is in use.
    pub async fn update(
        &self,
        workflow: &str,
        new: &NewVersion<'_>,
        now: Timestamp,
    ) -> Result<DefinitionId, ChangeError> {
        let _turn = self.writing.lock().await;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let found: Option<(String, String)> = sqlx::query_as("SELECT namespace, name FROM workflows WHERE id = ?")
            .bind(workflow)
            .fetch_optional(&mut *transaction)
            .await?;
        let (namespace, name) = found.ok_or(ChangeError::Unknown)?;
        if (namespace.as_str(), name.as_str()) != (new.namespace, new.name) {
            return Err(ChangeError::OtherWorkflow {
                expected: format!("{namespace}/{name}"),
                found: format!("{}/{}", new.namespace, new.name),
            });
        }
        let (in_use,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM definitions WHERE workflow = ? AND status <> 'retired'")
                .bind(workflow)
                .fetch_one(&mut *transaction)
                .await?;
        if in_use == 0 {
            return Err(ChangeError::Retired);
        }
        match status_in_use(&mut transaction, workflow, new.version).await? {
            None => {}
            Some(Status::Draft) => {
                sqlx::query(
                    "UPDATE definitions SET status = 'retired', updated_at = ?
                     WHERE workflow = ? AND version = ? AND status = 'draft'",
                )
                .bind(from_time(now))
                .bind(workflow)
                .bind(new.version)
                .execute(&mut *transaction)
                .await?;
            }
            Some(_) => return Err(ChangeError::VersionExists(new.version.to_owned())),
        }
        let number = insert(&mut transaction, workflow, new, now).await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Retires all versions of a workflow. Whether there was something to retire.
    ///
    /// # Errors
    /// The store failed.
    pub async fn retire(&self, workflow: &str, now: Timestamp) -> Result<bool, MetadataError> {
        let _turn = self.writing.lock().await;
        let done = sqlx::query(
            "UPDATE definitions SET status = 'retired', updated_at = ? WHERE workflow = ? AND status <> 'retired'",
        )
        .bind(from_time(now))
        .bind(workflow)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }
}

/// The status of a version that is not retired.
async fn status_in_use(
    transaction: &mut Transaction,
    workflow: &str,
    version: &str,
) -> Result<Option<Status>, sqlx::Error> {
    let found: Option<(String,)> =
        sqlx::query_as("SELECT status FROM definitions WHERE workflow = ? AND version = ? AND status <> 'retired'")
            .bind(workflow)
            .bind(version)
            .fetch_optional(&mut **transaction)
            .await?;
    Ok(found.and_then(|(status,)| Status::parse(&status)))
}

async fn insert(
    transaction: &mut Transaction,
    workflow: &str,
    new: &NewVersion<'_>,
    now: Timestamp,
) -> Result<DefinitionId, ChangeError> {
    let done = sqlx::query(
        "INSERT INTO definitions (workflow, version, status, format, text, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(workflow)
    .bind(new.version)
    .bind(new.status.as_str())
    .bind(new.format.as_str())
    .bind(new.text)
    .bind(from_time(now))
    .bind(from_time(now))
    .execute(&mut **transaction)
    .await?;
    u32::try_from(done.last_insert_rowid()).map(DefinitionId).map_err(|_| {
        let problem = "the numbers of definitions are used up".to_owned();
        ChangeError::Store(MetadataError::Damaged { what: "definitions", problem })
    })
}
