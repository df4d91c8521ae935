//! What is wrong with settings, and where.

use trinity_engine::definition::{Diagnostic, Located, Part, Severity};

/// A finding about settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code, listed in `docs/configuration.md`.
    pub code: &'static str,
    /// JSON Pointer of the setting.
    pub pointer: String,
    /// Whether it is about the key or the value.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The environment variable that said so, when it was not the file.
    pub variable: Option<String>,
}

/// A variable of the environment is missing.
pub(super) const MISSING_VARIABLE: &str = "TRN1001";
/// A key is not known.
pub(super) const UNKNOWN_KEY: &str = "TRN1002";
/// A value has the wrong type.
pub(super) const WRONG_TYPE: &str = "TRN1003";
/// A value is not allowed.
pub(super) const NOT_ALLOWED: &str = "TRN1004";
/// A key is missing.
pub(super) const MISSING_KEY: &str = "TRN1005";
/// Not supported by this version.
pub(super) const UNSUPPORTED: &str = "TRN1006";
/// Would be open to the network without protection.
pub(super) const UNPROTECTED: &str = "TRN1007";
/// Accepted, and without effect in this version.
pub(super) const NO_EFFECT: &str = "TRN1008";

impl Finding {
    pub(super) fn error(code: &'static str, pointer: &str, message: impl Into<String>) -> Finding {
        Finding {
            severity: Severity::Error,
            code,
            pointer: pointer.to_owned(),
            part: Part::Value,
            message: message.into(),
            hint: None,
            variable: None,
        }
    }

    pub(super) fn warning(code: &'static str, pointer: &str, message: impl Into<String>) -> Finding {
        Finding { severity: Severity::Warning, ..Finding::error(code, pointer, message) }
    }

    pub(super) fn at_key(mut self) -> Finding {
        self.part = Part::Key;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Finding {
        self.hint = Some(hint.into());
        self
    }

    /// With its place in the file.
    pub(super) fn located(&self, document: &Located) -> Diagnostic {
        let at = (self.pointer.as_str(), self.part);
        document.finding(self.severity, self.code, at, self.message.clone(), self.hint.clone())
    }

    /// As a compiler shows it, for what stands in no file.
    pub(super) fn render_plain(&self) -> String {
        let kind = if self.severity == Severity::Error { "error" } else { "warning" };
        let place = match &self.variable {
            Some(variable) => format!("environment variable {variable}"),
            None => dotted(&self.pointer),
        };
        let help = self.hint.as_ref().map(|hint| format!("  = help: {hint}\n")).unwrap_or_default();
        format!("{kind}[{}]: {}\n --> {place}\n{help}", self.code, self.message)
    }
}

/// `/server/port` as `server.port`.
pub(super) fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}
