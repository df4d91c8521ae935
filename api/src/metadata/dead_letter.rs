//! Dead letters: messages that could not be processed, whole and with the reason.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sqlx::FromRow;
use trinity_engine::time::Timestamp;
use trinity_ingest::dead_letter::DeadLetter;
use trinity_ingest::decode::Stage;

use super::{Metadata, MetadataError, from_time, to_time};

/// A letter with its marks.
#[derive(Clone, PartialEq, Debug)]
pub struct StoredLetter {
    /// Its number: newer ones have higher ones.
    pub id: i64,
    /// The message and why it failed, the last time.
    pub letter: DeadLetter,
    /// How often a second try was made.
    pub attempts: u32,
    /// When one succeeded.
    pub redriven_at: Option<Timestamp>,
}

#[derive(FromRow)]
struct Row {
    id: i64,
    source: String,
    received_at: i64,
    topic: String,
    partition_no: Option<i64>,
    offset_no: Option<i64>,
    message_key: Option<Vec<u8>>,
    headers: String,
    payload: Option<Vec<u8>>,
    stage: String,
    reason: String,
    attempts: i64,
    redriven_at: Option<i64>,
}

impl TryFrom<Row> for StoredLetter {
    type Error = MetadataError;

    fn try_from(row: Row) -> Result<StoredLetter, MetadataError> {
        let damaged = |problem: String| MetadataError::Damaged { what: "a dead letter", problem };
        let stage = [Stage::Size, Stage::Decode, Stage::Binding, Stage::Mapping, Stage::Delivery]
            .into_iter()
            .find(|stage| stage.name() == row.stage)
            .ok_or_else(|| damaged(format!("its stage is {}", row.stage)))?;
        let headers: Vec<(String, String)> =
            serde_json::from_str(&row.headers).map_err(|error| damaged(error.to_string()))?;
        let decode = |(name, text): (String, String)| match STANDARD.decode(text) {
            Ok(bytes) => Ok((name, Bytes::from(bytes))),
            Err(error) => Err(damaged(error.to_string())),
        };
        let place = row.partition_no.zip(row.offset_no).and_then(|(p, offset)| Some((i32::try_from(p).ok()?, offset)));
        Ok(StoredLetter {
            id: row.id,
            letter: DeadLetter {
                source: row.source.into(),
                received_at: to_time(row.received_at),
                topic: row.topic,
                place,
                key: row.message_key.map(Bytes::from),
                headers: headers.into_iter().map(decode).collect::<Result<_, _>>()?,
                payload: row.payload.map(Bytes::from),
                stage,
                reason: row.reason,
            },
            attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
            redriven_at: row.redriven_at.map(to_time),
        })
    }
}

impl Metadata {
    /// Keeps letters: all of them or, when the store fails, none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn keep_dead_letters(&self, letters: &[&DeadLetter]) -> Result<(), MetadataError> {
        let _turn = self.writing.lock().await;
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for letter in letters {
            let headers: Vec<(&str, String)> =
                letter.headers.iter().map(|(name, value)| (name.as_str(), STANDARD.encode(value))).collect();
            let headers = serde_json::to_string(&headers)
                .map_err(|error| MetadataError::Damaged { what: "a header", problem: error.to_string() })?;
            sqlx::query(
                "INSERT INTO dead_letters
                 (source, received_at, topic, partition_no, offset_no, message_key, headers, payload, stage, reason)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )
            .bind(&*letter.source)
            .bind(from_time(letter.received_at))
            .bind(&letter.topic)
            .bind(letter.place.map(|(partition, _)| i64::from(partition)))
            .bind(letter.place.map(|(_, offset)| offset))
            .bind(letter.key.as_deref())
            .bind(headers)
            .bind(letter.payload.as_deref())
            .bind(letter.stage.name())
            .bind(&letter.reason)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Letters, newest first, those with a number below `before`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dead_letters(&self, before: Option<i64>, limit: u32) -> Result<Vec<StoredLetter>, MetadataError> {
        let rows: Vec<Row> = sqlx::query_as("SELECT * FROM dead_letters WHERE id < ? ORDER BY id DESC LIMIT ?")
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(StoredLetter::try_from).collect()
    }

    /// One letter.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<StoredLetter>, MetadataError> {
        let row: Option<Row> =
            sqlx::query_as("SELECT * FROM dead_letters WHERE id = ?").bind(id).fetch_optional(&self.pool).await?;
        row.map(StoredLetter::try_from).transpose()
    }

    /// Notes a second try: that it succeeded, or why it failed again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_redrive(
        &self,
        id: i64,
        result: Result<(), (Stage, &str)>,
        now: Timestamp,
    ) -> Result<(), MetadataError> {
        let _turn = self.writing.lock().await;
        let query = match result {
            Ok(()) => sqlx::query("UPDATE dead_letters SET attempts = attempts + 1, redriven_at = ? WHERE id = ?")
                .bind(from_time(now)),
            Err((stage, reason)) => {
                sqlx::query("UPDATE dead_letters SET attempts = attempts + 1, stage = ?, reason = ? WHERE id = ?")
                    .bind(stage.name())
                    .bind(reason.to_owned())
            }
        };
        query.bind(id).execute(&self.pool).await?;
        Ok(())
    }

    /// How many letters wait for a second try.
    ///
    /// # Errors
    /// The store failed.
    pub async fn dead_letters_waiting(&self) -> Result<i64, MetadataError> {
        let (count,): (i64,) =
            sqlx::query_as("SELECT count(*) FROM dead_letters WHERE redriven_at IS NULL").fetch_one(&self.pool).await?;
        Ok(count)
    }
}
