//! The load generator of Trinity, `trinity load`: open loop, over public protocols only.
//!
//! Each message is due at a time that the schedule gives it. It is sent then, or as soon after as it can be, whatever became
//! of those before; its latency counts from when it was due. So a server that stalls is not spared the messages that would
//! have come meanwhile (coordinated omission). In the end a ledger tells whether each message was executed once, and those
//! of a key in order.
//!
//! | file | holds |
//! | --- | --- |
//! | `options` | what may be chosen |
//! | `schedule` `pace` | when messages are due, and the thread that says so |
//! | `message` | what they are, and the workflow they start |
//! | `send` `ends` `server` | the ways out, the ways back, the node's API |
//! | `step` `ledger` `latency` | what is known of each message |
//! | `run` `verdict` `search` | a step, whether it passed, the next one's rate |
//! | `progress` `report` | what is shown meanwhile and afterwards |
#![warn(missing_docs)]

mod ends;
mod latency;
mod ledger;
mod message;
mod options;
mod pace;
mod plan;
mod progress;
mod report;
mod run;
mod schedule;
mod search;
mod send;
mod server;
mod set_up;
mod step;
mod verdict;

use std::path::Path;

pub use options::Options;
use options::{Common, Load};
use report::Report;

/// All is as it should be.
const EXIT_OK: u8 = 0;
/// A promise is broken, a bound missed, or the load could not be made.
const EXIT_FAILED: u8 = 1;
/// The arguments do not fit together.
const EXIT_USAGE: u8 = 2;

/// Makes the load, shows and writes what came of it; the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let common = match &options.load {
        Load::Settings(wanted) => {
            let (mqtt, kafka) = (wanted.mqtt.as_deref(), wanted.kafka.as_deref());
            print!("{}", message::settings(mqtt, kafka, wanted.sink.as_deref()));
            return EXIT_OK;
        }
        Load::Mqtt(load) => &load.common,
        Load::Kafka(load) => &load.common,
        Load::Events(load) => &load.common,
        Load::Execute(load) => &load.common,
        Load::Get(load) => &load.common,
    };
    if let Err(problem) = common.check().and_then(|()| set_up::check(&options.load, common)) {
        eprintln!("error: {problem}");
        return EXIT_USAGE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return EXIT_FAILED;
        }
    };
    let code = match runtime.block_on(plan::run(&options.load, common)) {
        Ok(report) => finish(&report, common),
        Err(problem) => {
            eprintln!("error: {problem}");
            EXIT_FAILED
        }
    };
    // Tasks that wait for answers that nobody wants any more.
    runtime.shutdown_background();
    code
}

/// Shows the report and writes what was asked for.
fn finish(report: &Report, common: &Common) -> u8 {
    let to_stdout = common.json.as_deref() == Some(Path::new("-"));
    if to_stdout {
        print!("{}", report.json());
    } else {
        print!("{}", report.text());
    }
    let written = [
        (common.html.as_deref(), Report::html as fn(&Report) -> String),
        (common.json.as_deref().filter(|_| !to_stdout), Report::json),
    ];
    let mut failed = false;
    for (file, text) in written {
        if let Some(file) = file {
            failed |= told(file, std::fs::write(file, text(report)));
        }
    }
    if let Some(folder) = &common.plots {
        failed |= told(folder, report.write_plots(folder));
    }
    if report.passed && !failed { EXIT_OK } else { EXIT_FAILED }
}

/// Says that a file can't be written; whether it could not.
fn told(file: &Path, written: std::io::Result<()>) -> bool {
    if let Err(error) = &written {
        eprintln!("error: {} can't be written: {error}", file.display());
    }
    written.is_err()
}
