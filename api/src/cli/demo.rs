//! `trinity demo`.

use std::time::Duration;

use trinity_api::demo;

use super::{EXIT_FAULTED, EXIT_OK};

#[derive(clap::Args)]
pub struct Options {
    /// How long the devices play, such as 60s or 2m
    #[arg(long, default_value = "60s", value_parser = duration)]
    duration: Duration,
    /// Readings a minute, of all devices together; heartbeats come on top
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(1..=6_000_000))]
    rate: u32,
    /// Leave the node running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
}

pub fn main(options: &Options) -> u8 {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return EXIT_FAULTED;
        }
    };
    let Options { duration, rate, keep } = *options;
    match runtime.block_on(demo::run(demo::Options { duration, rate, keep })) {
        Ok(true) => {
            println!("Every message was executed exactly once.");
            EXIT_OK
        }
        Ok(false) => {
            eprintln!("error: what was published and what was executed differ");
            EXIT_FAULTED
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            EXIT_FAULTED
        }
    }
}

/// A number with a unit; seconds without one.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration between 1s and 24h; write 60s, 2m or 1h");
    let (number, unit) = match text.char_indices().find(|(_, letter)| !letter.is_ascii_digit()) {
        Some((at, _)) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = number.checked_mul(seconds).filter(|seconds| (1..=86_400).contains(seconds)).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}
