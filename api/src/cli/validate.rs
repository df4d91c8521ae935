//! `trinity validate`.

use std::path::PathBuf;

use trinity_engine::definition::{self, Severity};

use super::{EXIT_OK, EXIT_USAGE, read_text, show};

#[derive(clap::Args)]
pub struct Options {
    /// Definitions in YAML or JSON
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
        let findings = definition::check(&text);
        show(&findings, file, &text);
        let wrong = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        errors += wrong;
        warnings += findings.len() - wrong;
    }
    eprintln!("{} checked, {errors} errors, {warnings} warnings", options.files.len());
    if errors > 0 || unread { EXIT_USAGE } else { EXIT_OK }
}
