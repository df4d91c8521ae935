//! `trinity serve`: a node, until it is told to stop.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use trinity_api::app::App;
use trinity_api::config::{self, Config};
use trinity_api::logging;

use super::{EXIT_FAULTED, EXIT_OK, EXIT_USAGE, environment};

#[derive(clap::Args)]
pub struct Options {
    /// The settings; without them everything is embedded and the node listens on 127.0.0.1:8000
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub fn main(options: &Options) -> u8 {
    let Some(config) = load(options) else { return EXIT_USAGE };
    if let Err(error) = logging::start(&config) {
        eprintln!("error: {error}");
        return EXIT_FAULTED;
    }
    allow_open_files();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(config.server.workers).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return EXIT_FAULTED;
        }
    };
    runtime.block_on(serve(&config))
}

/// Every connection and call is an open file: as many as this process may have at all.
fn allow_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
}

/// The settings, or nothing once what is wrong with them was shown.
fn load(options: &Options) -> Option<Config> {
    let colour = std::io::stderr().is_terminal();
    let loaded = match &options.config {
        None => Config::without_file(&environment()),
        Some(file) => match config::read_file(file, &environment()) {
            Ok(loaded) => loaded,
            Err(error) => {
                eprintln!("error: {} can't be read: {error}", file.display());
                return None;
            }
        },
    };
    match loaded {
        Ok(loaded) => {
            eprint!("{}", loaded.render_warnings(colour));
            Some(loaded.config)
        }
        Err(rejected) => {
            eprint!("{}", rejected.render(colour));
            None
        }
    }
}

async fn serve(config: &Config) -> u8 {
    let signals = signal(SignalKind::terminate()).and_then(|term| Ok((term, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: signals can't be heard: {error}");
            return EXIT_FAULTED;
        }
    };
    let app = match App::start(config).await {
        Ok(app) => app,
        Err(error) => {
            eprintln!("error: {error}");
            return EXIT_FAULTED;
        }
    };
    // For whoever started it with port 0; a closed stdout is no reason to stop.
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "trinity listens on http://{}", app.address()).and_then(|()| stdout.flush());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let stopped = app.stop();
    // Asked twice, it stops at once: everything acknowledged is on the disk.
    tokio::select! {
        () = stopped => EXIT_OK,
        _ = terminate.recv() => EXIT_FAULTED,
        _ = interrupt.recv() => EXIT_FAULTED,
    }
}
