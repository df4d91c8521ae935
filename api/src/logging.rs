//! Log lines: what, in which form, and where to.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal as _;
use std::sync::Mutex;

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Config, LogFormat, LogHandler};

/// Why logging can't begin.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The file.
    #[error("the log file {path} can't be opened: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Something else in this process logs already.
    #[error("logging was set up already")]
    Twice,
}

/// Sets logging up for the whole process: the one thing that is global, for it is to every library.
///
/// # Errors
/// The file can't be opened, or it was done before.
pub fn start(config: &Config) -> Result<(), LoggingError> {
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    for handler in &config.logging.handlers {
        layers.push(match handler {
            LogHandler::Console => layer(config.logging.format, std::io::stderr().is_terminal(), std::io::stderr),
            LogHandler::File => layer(config.logging.format, false, Mutex::new(open(config)?)),
        });
    }
    let filter = EnvFilter::new(directives(&config.logging.level));
    // The filter comes last: it is one for all layers.
    tracing_subscriber::registry().with(layers).with(filter).try_init().map_err(|_| LoggingError::Twice)
}

/// The level for ours; libraries below speak up only when something is wrong, unless everything is wanted.
fn directives(level: &str) -> String {
    match level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        level @ ("trace" | "debug") => format!("{level},hyper=info,rustls=info,h2=info,sqlx=warn,rumqttc=info"),
        level => format!("{level},sqlx=warn,rumqttd=warn"),
    }
}

fn open(config: &Config) -> Result<File, LoggingError> {
    let path = config.log_path();
    let opened = std::fs::create_dir_all(&config.engine.data_dir)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&path));
    opened.map_err(|error| LoggingError::File { path: path.display().to_string(), error })
}

fn layer<W>(format: LogFormat, colour: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.boxed(),
    }
}
