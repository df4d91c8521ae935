//! The forms of the database, one after the other. Released ones never change.

use sqlx::SqlitePool;

use super::MetadataError;

/// Each brings the database from the form of its index to the next one.
const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE workflows (
    id         TEXT PRIMARY KEY,
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    UNIQUE (namespace, name)
);
-- AUTOINCREMENT: executions in the journal refer to these numbers, so none is ever given twice.
CREATE TABLE definitions (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow   TEXT NOT NULL REFERENCES workflows (id),
    version    TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (status IN ('draft', 'active', 'retired')),
    format     TEXT NOT NULL CHECK (format IN ('json', 'yaml')),
    text       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX definitions_in_use ON definitions (workflow, version) WHERE status <> 'retired';
CREATE TABLE secrets (
    name       TEXT PRIMARY KEY,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE dead_letters (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    source       TEXT NOT NULL,
    received_at  INTEGER NOT NULL,
    topic        TEXT NOT NULL,
    partition_no INTEGER,
    offset_no    INTEGER,
    message_key  BLOB,
    headers      TEXT NOT NULL,
    payload      BLOB,
    stage        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    redriven_at  INTEGER
);
-- A record that is read once more after a crash is the same letter.
CREATE UNIQUE INDEX dead_letters_place ON dead_letters (source, topic, partition_no, offset_no)
    WHERE offset_no IS NOT NULL;
",
    "
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);
",
];

/// The number of the newest form.
pub(super) const fn known() -> i64 {
    MIGRATIONS.len() as i64
}

pub(super) async fn run(pool: &SqlitePool) -> Result<(), MetadataError> {
    let known = known();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    let (found,): (i64,) = sqlx::query_as("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    if found > known {
        return Err(MetadataError::Newer { found, known });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    if found < known {
        // A pragma takes no parameters.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {known}"))).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
