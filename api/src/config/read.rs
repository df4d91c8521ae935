//! From a file's text and the environment to checked settings.

use std::path::{Path, PathBuf};

use serde_json::Value;
use trinity_engine::definition::{Diagnostic, Limits, Located, Severity};

use super::environment::{self, Origins};
use super::finding::{Finding, WRONG_TYPE};
use super::{Config, rules, shape};

/// Settings that may be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// They.
    pub config: Config,
    /// What to look at nevertheless.
    pub warnings: Vec<Finding>,
    file: Option<(PathBuf, Located)>,
}

impl Loaded {
    /// The warnings as a compiler shows them.
    #[must_use]
    pub fn render_warnings(&self, colour: bool) -> String {
        render(&self.warnings, self.file.as_ref(), colour)
    }
}

/// Settings that can't be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the settings are refused: {}", .findings.iter().map(|f| f.message.as_str()).collect::<Vec<_>>().join("; "))]
pub struct Rejected {
    /// All findings, warnings among them.
    pub findings: Vec<Finding>,
    syntax: Option<Box<(PathBuf, String, Diagnostic)>>,
    file: Option<Box<(PathBuf, Located)>>,
}

impl Rejected {
    /// As a compiler shows it: every finding with its place, the line in question and a hint.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        if let Some(syntax) = &self.syntax {
            let (path, text, diagnostic) = syntax.as_ref();
            return diagnostic.render(&path.display().to_string(), text, colour) + "\n";
        }
        render(&self.findings, self.file.as_deref(), colour)
    }

    /// How many errors and how many warnings.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let errors = self.findings.iter().filter(|f| f.severity == Severity::Error).count();
        (errors + usize::from(self.syntax.is_some()), self.findings.len() - errors)
    }
}

fn render(findings: &[Finding], file: Option<&(PathBuf, Located)>, colour: bool) -> String {
    let mut out = String::new();
    for finding in findings {
        match file {
            Some((path, document)) if finding.variable.is_none() => {
                let diagnostic = finding.located(document);
                out.push_str(&diagnostic.render(&path.display().to_string(), document.text(), colour));
            }
            _ => out.push_str(&finding.render_plain()),
        }
        out.push('\n');
    }
    out
}

/// Reads a file's settings.
///
/// # Errors
/// The file can't be read (the outer), or something in it is wrong (the inner).
pub fn read_file(path: &Path, environment: &[(String, String)]) -> std::io::Result<Result<Loaded, Rejected>> {
    let text = std::fs::read_to_string(path)?;
    Ok(read(path, &text, environment))
}

/// Reads settings; `path` names the text in findings.
///
/// # Errors
/// All findings, when one of them is an error.
pub fn read(path: &Path, text: &str, environment: &[(String, String)]) -> Result<Loaded, Rejected> {
    if is_blank(text) {
        return without_file(environment);
    }
    match Located::read(text, Limits::default()) {
        Ok(document) => {
            let value = Value::from(&document.value());
            checked(value, Some((path.to_owned(), document)), environment)
        }
        Err(syntax) => {
            let syntax = Some(Box::new((path.to_owned(), text.to_owned(), *syntax)));
            Err(Rejected { findings: Vec::new(), syntax, file: None })
        }
    }
}

pub(super) fn without_file(environment: &[(String, String)]) -> Result<Loaded, Rejected> {
    checked(Value::Object(serde_json::Map::new()), None, environment)
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#') || line == "---")
}

/// Whether a text is meant as settings and not as a definition.
#[must_use]
pub fn looks_like_config(text: &str) -> bool {
    let Ok(document) = Located::read(text, Limits::default()) else { return false };
    let value = document.value();
    let Some(map) = value.as_object() else { return false };
    let own = shape::keys(shape::root());
    !map.contains_key("document") && !map.contains_key("do") && map.keys().any(|key| own.contains(&key.as_str()))
}

fn checked(
    mut value: Value,
    file: Option<(PathBuf, Located)>,
    environment: &[(String, String)],
) -> Result<Loaded, Rejected> {
    let (mut findings, mut origins) = (Vec::new(), Origins::new());
    environment::expand(&mut value, "", environment, &mut origins, &mut findings);
    if value.is_object() {
        environment::apply_overrides(&mut value, environment, &mut origins, &mut findings);
    }
    shape::check(&mut value, shape::root(), "", &origins, &mut findings);
    let mut config = None;
    if findings.is_empty() {
        match Config::deserialize_from(value.clone()) {
            Ok(read) => {
                rules::check(&read, &value, &mut findings);
                config = Some(read);
            }
            // What the schema lets pass and the types do not: the message names it.
            Err(error) => findings.push(Finding::error(WRONG_TYPE, "", error)),
        }
        for finding in &mut findings {
            finding.variable = origins.get(&finding.pointer).cloned().flatten();
        }
    }
    let refused = findings.iter().any(|finding| finding.severity == Severity::Error);
    match config.filter(|_| !refused) {
        Some(config) => Ok(Loaded { config, warnings: findings, file }),
        None => Err(Rejected { findings, syntax: None, file: file.map(Box::new) }),
    }
}

impl Config {
    fn deserialize_from(value: Value) -> Result<Config, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }
}
