//! What is kept beside the journal, in SQLite: definitions, secrets, dead letters. It is not on the way of an execution.

pub mod dead_letter;
mod migrations;
pub mod seal;
pub mod secret;
#[cfg(test)]
mod tests;
pub mod workflow;

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Mutex;
use trinity_engine::time::Timestamp;
use uuid::Uuid;

use seal::{Key, SealError};

/// How long a change waits for another process that has the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The store.
#[derive(Debug)]
pub struct Metadata {
    pool: SqlitePool,
    key: Key,
    /// SQLite has one writer: waiting here is fair, waiting there is not.
    writing: Mutex<()>,
}

/// The store failed: not the user's doing.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// SQLite.
    #[error("the metadata database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// Its folder.
    #[error("the folder of the metadata database can't be made: {0}")]
    Folder(std::io::Error),
    /// Encryption.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What is stored can't be understood.
    #[error("the metadata database holds {what} that can't be read: {problem}")]
    Damaged {
        /// What.
        what: &'static str,
        /// Why.
        problem: String,
    },
    /// It was made by a newer version of Trinity.
    #[error(
        "the metadata database has form {found}, this version knows up to {known}: use the version that made it, or a newer one"
    )]
    Newer {
        /// Number of its form.
        found: i64,
        /// Newest number that we know.
        known: i64,
    },
    /// There are secrets and no key.
    #[error("there are secrets in the metadata database, and no key to read them: restore {0}, or set secrets.key")]
    KeyMissing(String),
}

impl MetadataError {
    /// Whether the disk is full: what was asked can be asked again once it is not.
    #[must_use]
    pub fn is_full(&self) -> bool {
        // SQLITE_FULL
        matches!(self, MetadataError::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("13"))
    }
}

/// Where the key of the secrets is.
#[derive(Clone, Copy, Debug)]
pub enum KeySource<'a> {
    /// Given in the settings.
    Given(&'a str),
    /// A file, made when it is not there.
    File(&'a Path),
}

impl Metadata {
    /// Opens the store, made when it is not there.
    ///
    /// # Errors
    /// The file or the key can't be used.
    pub async fn open(path: &Path, connections_max: u32, key: KeySource<'_>) -> Result<Metadata, MetadataError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(MetadataError::Folder)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // An answer of the API promises that the change is on the disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(connections_max.max(1)).connect_with(options).await?;
        migrations::run(&pool).await?;
        let key = match key {
            KeySource::Given(text) => Key::from_base64(text).map_err(SealError::from)?,
            KeySource::File(path) if path.exists() => Key::read(path)?,
            KeySource::File(path) => {
                // A new key would make what is there unreadable without a word.
                let (secrets,): (i64,) = sqlx::query_as("SELECT count(*) FROM secrets").fetch_one(&pool).await?;
                if secrets > 0 {
                    return Err(MetadataError::KeyMissing(path.display().to_string()));
                }
                Key::create(path)?
            }
        };
        let metadata = Metadata { pool, key, writing: Mutex::new(()) };
        // A wrong key shows now, and not in the middle of an execution.
        metadata.secrets().await?;
        Ok(metadata)
    }

    /// The name of this node: made at the first start and then always the same, for sessions with brokers go by it.
    ///
    /// # Errors
    /// The store failed.
    pub async fn node_name(&self) -> Result<String, MetadataError> {
        let _turn = self.writing.lock().await;
        let fresh = format!("node-{}", &Uuid::new_v4().simple().to_string()[..8]);
        sqlx::query("INSERT INTO settings (key, value) VALUES ('node', ?) ON CONFLICT DO NOTHING")
            .bind(fresh)
            .execute(&self.pool)
            .await?;
        let (name,) = sqlx::query_as("SELECT value FROM settings WHERE key = 'node'").fetch_one(&self.pool).await?;
        Ok(name)
    }

    /// Something remembered under a name.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn setting(&self, key: &str) -> Result<Option<String>, MetadataError> {
        let found: Option<(String,)> =
            sqlx::query_as("SELECT value FROM settings WHERE key = ?").bind(key).fetch_optional(&self.pool).await?;
        Ok(found.map(|(value,)| value))
    }

    /// Remembers something under a name.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn set_setting(&self, key: &str, value: &str) -> Result<(), MetadataError> {
        let _turn = self.writing.lock().await;
        sqlx::query(
            "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Closes the store; what was answered is on the disk.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn to_time(micros: i64) -> Timestamp {
    Timestamp(u64::try_from(micros).unwrap_or(0))
}

fn from_time(time: Timestamp) -> i64 {
    i64::try_from(time.micros()).unwrap_or(i64::MAX)
}
