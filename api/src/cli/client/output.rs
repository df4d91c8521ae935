//! What commands print: for people, or for programs.

use std::io::{ErrorKind, Write as _};

use trinity_engine::definition::yaml;
use trinity_engine::value::{Map, Value};

use super::connection::Listing;
use super::table::{Column, table};

/// Forms of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// As the API gives it
    Json,
    /// The same as YAML
    Yaml,
}

/// A value for programs; for people, what `show` makes of it.
pub fn one(format: Format, value: &Value, show: impl FnOnce(&Value) -> String) {
    print(&match format {
        Format::Table => show(value),
        Format::Json => value.to_json_pretty() + "\n",
        Format::Yaml => yaml::write(value),
    });
}

/// A list.
pub fn list(format: Format, listing: Listing, columns: &[Column]) {
    if format == Format::Table {
        print(&table(columns, &listing.items));
        if listing.next.is_some() {
            eprintln!("there are more: ask for them with --limit");
        }
        return;
    }
    let mut value = Map::new();
    value.insert("items", Value::from(listing.items));
    value.insert("next", Value::from(listing.next));
    one(format, &Value::Object(value), |_| String::new());
}

/// Prints. Whoever reads our output may stop when he has enough: that ends us in silence.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("error: the output can't be written: {error}");
        }
        std::process::exit(i32::from(error.kind() != ErrorKind::BrokenPipe));
    }
}
