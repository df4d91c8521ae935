//! `trinity validate`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use trinity_api::config;
use trinity_engine::definition::{self, Severity};

use super::{EXIT_OK, EXIT_USAGE, environment, read_text, show};

#[derive(clap::Args)]
pub struct Options {
    /// Definitions and settings in YAML or JSON; which of them a file is shows in its keys
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub fn main(options: &Options) -> u8 {
    let (mut errors, mut warnings, mut unread) = (0, 0, false);
    for file in &options.files {
        let Some(text) = read_text(file) else {
            unread = true;
            continue;
        };
        let found = if config::looks_like_config(&text) { settings(file, &text) } else { definition(file, &text) };
        errors += found.0;
        warnings += found.1;
    }
    eprintln!("{} checked, {errors} errors, {warnings} warnings", options.files.len());
    if errors > 0 || unread { EXIT_USAGE } else { EXIT_OK }
}

/// Errors and warnings of a definition.
fn definition(file: &Path, text: &str) -> (usize, usize) {
    let findings = definition::check(text);
    show(&findings, file, text);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

/// Errors and warnings of settings.
fn settings(file: &Path, text: &str) -> (usize, usize) {
    let colour = std::io::stderr().is_terminal();
    match config::read(file, text, &environment()) {
        Ok(loaded) => {
            eprint!("{}", loaded.render_warnings(colour));
            (0, loaded.warnings.len())
        }
        Err(rejected) => {
            eprint!("{}", rejected.render(colour));
            rejected.counts()
        }
    }
}
