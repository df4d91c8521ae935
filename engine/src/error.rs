//! The errors of workflows: RFC 9457 problems with the standard types of the DSL ("Error" and "Standard Error Types").

use ecow::EcoString;

/// Base of the standard error types.
pub const STANDARD_BASE: &str = "https://open-workflow-specification.org/spec/1.0.0/errors/";

/// The bases under which the standard types have been written over time. When a `catch` filter is compared, they are one.
pub const STANDARD_BASES: [&str; 4] = [
    STANDARD_BASE,
    "https://open-workflow-specification.org/dsl/errors/types/",
    "https://serverlessworkflow.io/spec/1.0.0/errors/",
    "https://serverlessworkflow.io/dsl/errors/types/",
];

/// A standard error type: its last URI segment and its default status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StandardError {
    /// The definition or its surroundings are wrong.
    Configuration,
    /// Data does not match its schema.
    Validation,
    /// An expression failed.
    Expression,
    /// Not authenticated.
    Authentication,
    /// Not allowed, a missing secret included.
    Authorization,
    /// A time limit was reached.
    Timeout,
    /// A call failed.
    Communication,
    /// Anything else at run time, limits of the engine included.
    Runtime,
}

impl StandardError {
    /// Last segment of its type URI.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StandardError::Configuration => "configuration",
            StandardError::Validation => "validation",
            StandardError::Expression => "expression",
            StandardError::Authentication => "authentication",
            StandardError::Authorization => "authorization",
            StandardError::Timeout => "timeout",
            StandardError::Communication => "communication",
            StandardError::Runtime => "runtime",
        }
    }

    /// The status it carries unless a better one is known.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            StandardError::Configuration | StandardError::Validation | StandardError::Expression => 400,
            StandardError::Authentication => 401,
            StandardError::Authorization => 403,
            StandardError::Timeout => 408,
            StandardError::Communication | StandardError::Runtime => 500,
        }
    }
}

/// An error of a workflow or task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkflowError {
    /// A URI that names the kind.
    pub error_type: EcoString,
    /// HTTP-like status.
    pub status: u16,
    /// Short and the same for each error of the kind.
    pub title: Option<EcoString>,
    /// What happened here and what to do about it.
    pub detail: Option<EcoString>,
    /// JSON Pointer of the task where it arose; `None` until the core sets it.
    pub instance: Option<EcoString>,
}

impl WorkflowError {
    /// A standard error with its default status.
    #[must_use]
    pub fn standard(kind: StandardError, detail: impl Into<EcoString>) -> WorkflowError {
        let mut error_type = EcoString::from(STANDARD_BASE);
        error_type.push_str(kind.name());
        let title = match kind {
            StandardError::Configuration => "Configuration Error",
            StandardError::Validation => "Validation Error",
            StandardError::Expression => "Expression Error",
            StandardError::Authentication => "Authentication Error",
            StandardError::Authorization => "Authorization Error",
            StandardError::Timeout => "Timeout Error",
            StandardError::Communication => "Communication Error",
            StandardError::Runtime => "Runtime Error",
        };
        WorkflowError {
            error_type,
            status: kind.status(),
            title: Some(title.into()),
            detail: Some(detail.into()),
            instance: None,
        }
    }

    /// The same with another status, such as that of an HTTP response.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> WorkflowError {
        self.status = status;
        self
    }
}

/// Whether two error types are the same, the standard bases taken as aliases.
#[must_use]
pub fn same_type(a: &str, b: &str) -> bool {
    fn standard_name(t: &str) -> Option<&str> {
        STANDARD_BASES.iter().find_map(|base| t.strip_prefix(base))
    }
    a == b || standard_name(a).is_some_and(|name| standard_name(b) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_bases_are_aliases() {
        let error = WorkflowError::standard(StandardError::Communication, "");
        assert!(same_type(&error.error_type, "https://open-workflow-specification.org/dsl/errors/types/communication"));
        assert!(!same_type(&error.error_type, "https://open-workflow-specification.org/dsl/errors/types/timeout"));
        assert!(!same_type("https://a.example/communication", &error.error_type));
    }
}
