//! Secrets: any JSON by name, sealed.

use trinity_engine::time::Timestamp;
use trinity_engine::value::{Map, ParseLimits, Value};

use super::{Metadata, MetadataError, from_time, to_time};

/// What may be told about a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretName {
    /// Its name.
    pub name: String,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When it was last set.
    pub updated_at: Timestamp,
}

impl Metadata {
    /// Sets a secret. Whether it is new.
    ///
    /// # Errors
    /// The store failed.
    pub async fn put_secret(&self, name: &str, value: &Value, now: Timestamp) -> Result<bool, MetadataError> {
        let sealed = self.key.seal(name, value.to_json().as_bytes())?;
        let _turn = self.writing.lock().await;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let found: Option<(i64,)> =
            sqlx::query_as("SELECT 1 FROM secrets WHERE name = ?").bind(name).fetch_optional(&mut *transaction).await?;
        sqlx::query(
            "INSERT INTO secrets (name, sealed, created_at, updated_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        )
        .bind(name)
        .bind(sealed)
        .bind(from_time(now))
        .bind(from_time(now))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(found.is_none())
    }

    /// Forgets a secret. Whether it was there.
    ///
    /// # Errors
    /// The store failed.
    pub async fn delete_secret(&self, name: &str) -> Result<bool, MetadataError> {
        let _turn = self.writing.lock().await;
        let done = sqlx::query("DELETE FROM secrets WHERE name = ?").bind(name).execute(&self.pool).await?;
        Ok(done.rows_affected() > 0)
    }

    /// The names, in order.
    ///
    /// # Errors
    /// The store failed.
    pub async fn secret_names(&self) -> Result<Vec<SecretName>, MetadataError> {
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT name, created_at, updated_at FROM secrets ORDER BY name")
                .fetch_all(&self.pool)
                .await?;
        let name = |(name, created_at, updated_at)| SecretName {
            name,
            created_at: to_time(created_at),
            updated_at: to_time(updated_at),
        };
        Ok(rows.into_iter().map(name).collect())
    }

    /// All values by name, for the engine alone.
    ///
    /// # Errors
    /// The store failed, or the key is another one.
    pub async fn secrets(&self) -> Result<Value, MetadataError> {
        let rows: Vec<(String, Vec<u8>)> =
            sqlx::query_as("SELECT name, sealed FROM secrets ORDER BY name").fetch_all(&self.pool).await?;
        let mut secrets = Map::new();
        for (name, sealed) in rows {
            let plain = self.key.open(&name, &sealed)?;
            let value = Value::parse(&plain, &ParseLimits::default())
                .map_err(|_| MetadataError::Damaged { what: "a secret", problem: format!("{name} is not JSON") })?;
            secrets.insert(name, value);
        }
        Ok(Value::Object(secrets))
    }
}
