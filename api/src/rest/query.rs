//! The query of a request: known keys, each once, with values of known form.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use trinity_engine::definition::nearest;
use trinity_engine::time::Timestamp;

use super::problem::Problem;
use crate::units;

/// Items of a page, unless asked otherwise.
const LIMIT: usize = 100;
/// Items of a page at most.
pub(super) const LIMIT_MAX: usize = 1000;

/// A query, read.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query whose keys are among `known`.
    pub fn read(text: Option<&str>, known: &[&str]) -> Result<Query, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (key, value) in url::form_urlencoded::parse(text.unwrap_or_default().as_bytes()) {
            if !known.contains(&key.as_ref()) {
                let cure = match nearest(&key, known.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None if known.is_empty() => "none is known here".to_owned(),
                    None => format!("known here: {}", known.join(", ")),
                };
                return Err(Problem::query(&key, format!("unknown query parameter \"{key}\"; {cure}")));
            }
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(Problem::query(&key, format!("\"{key}\" is given twice")));
            }
            pairs.push((key.into_owned(), value.into_owned()));
        }
        Ok(Query { pairs })
    }

    /// The value of a key, if it is given.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_str())
    }

    /// `limit`.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(LIMIT) };
        match text.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(Problem::query(
                "limit",
                format!("limit must be a whole number from 1 to {LIMIT_MAX}, not \"{text}\""),
            )),
        }
    }

    /// What `cursor` holds, if it is one of this `list`.
    pub fn cursor(&self, list: &str) -> Result<Option<String>, Problem> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let place = decoded.and_then(|text| Some(text.strip_prefix(list)?.strip_prefix(':')?.to_owned()));
        place.map(Some).ok_or_else(wrong_cursor)
    }

    /// A moment.
    pub fn time(&self, key: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.get(key) else { return Ok(None) };
        // A plus that was not encoded has become a space.
        let time = Timestamp::parse_rfc3339(text).or_else(|| Timestamp::parse_rfc3339(&text.replace(' ', "+")));
        time.map(Some).ok_or_else(|| {
            Problem::query(key, format!("{key} must be a time such as 2026-11-24T03:00:00Z, not \"{text}\""))
        })
    }

    /// A span of time.
    pub fn span(&self, key: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.get(key) else { return Ok(None) };
        units::span(text).map(Some).ok_or_else(|| {
            Problem::query(key, format!("{key} must be a span of time such as 500ms, 30s, 2m or PT30S, not \"{text}\""))
        })
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        match self.get(key) {
            None => Ok(None),
            Some("true" | "") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(Problem::query(key, format!("{key} must be true or false, not \"{other}\""))),
        }
    }
}

/// The cursor is none that we gave.
pub(super) fn wrong_cursor() -> Problem {
    Problem::query("cursor", "cursor must be the \"next\" of an earlier answer of the same list")
}

/// A cursor to give out: opaque to its holder.
pub(super) fn cursor(list: &str, place: impl std::fmt::Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_of_one_list_only() {
        let query = |text: &str| Query::read(Some(text), &["cursor", "limit"]);
        let given = cursor("e", "a/b");
        let read = query(&format!("cursor={given}")).expect("a query");
        assert_eq!(read.cursor("e").expect("it is ours"), Some("a/b".to_owned()));
        assert!(read.cursor("w").is_err());
        assert!(query("cursor=%FF").expect("a query").cursor("e").is_err());
        assert!(query("limit=0").expect("a query").limit().is_err());
        assert!(query("limit=1001").expect("a query").limit().is_err());
        assert_eq!(query("limit=1000").expect("a query").limit().expect("the most"), 1000);
        assert!(query("limt=1").is_err());
        assert!(query("limit=1&limit=2").is_err());
    }
}
