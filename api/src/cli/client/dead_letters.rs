//! `trinity deadletters`.

use trinity_engine::value::Value;

use super::Common;
use super::connection::Server;
use super::failure::Failure;
use super::output::{self, print};
use super::table::{Column, text};

#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// List what could not be processed, the newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Try dead letters anew
    Redrive {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
}

pub fn main(options: &Options) -> u8 {
    options.common.run(async |server, format| match &options.command {
        Command::List { limit } => {
            let columns = [
                Column { name: "ID", show: |item| text(item, "/id") },
                Column { name: "RECEIVED", show: |item| text(item, "/receivedAt") },
                Column { name: "SOURCE", show: |item| text(item, "/source") },
                Column { name: "TOPIC", show: |item| text(item, "/topic") },
                Column { name: "STATUS", show: |item| text(item, "/status") },
                Column { name: "REASON", show: reason },
            ];
            output::list(format, server.list(&["deadletters"], &[], *limit as usize).await?, &columns);
            Ok(())
        }
        Command::Redrive { ids } => redrive(server, ids).await,
    })
}

fn reason(letter: &Value) -> String {
    match text(letter, "/stage") {
        stage if stage.is_empty() => text(letter, "/reason"),
        stage => format!("{stage}: {}", text(letter, "/reason")),
    }
}

/// Each of them, whatever becomes of the others.
async fn redrive(server: &Server, ids: &[String]) -> Result<(), Failure> {
    let mut result = Ok(());
    for id in ids {
        match server.post(&["deadletters", id, "redrive"]).await {
            Ok(_) => print(&format!("redriven {id}\n")),
            Err(failure @ Failure::Refused(_)) => {
                eprint!("{}", failure.render().replacen("error: ", &format!("error: {id}: "), 1));
                result = Err(Failure::Shown);
            }
            Err(failure) => return Err(failure),
        }
    }
    result
}
