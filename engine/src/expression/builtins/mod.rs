//! The functions of jq that are written in Rust.

pub(super) mod dates;
pub(super) mod formats;
pub(super) mod json;
mod numbers;
mod objects;
pub(super) mod paths;
pub(super) mod regex;
mod sorting;
mod strftime;
mod strptime;
pub(super) mod texts;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::SyntaxError;
use super::ast::Place;
use super::compile::error;
use super::errors::Stop;
use super::run::Run;
use crate::value::Value;

/// The values that a function is called with, which it may take.
pub(super) type Arguments<'a> = &'a mut [Value];

type Call = fn(&mut Run<'_>, Value, Arguments<'_>) -> Result<Value, Stop>;

/// A function of values that gives one output.
pub(super) struct Native {
    pub name: &'static str,
    pub arity: usize,
    pub call: Call,
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.name, self.arity)
    }
}

const fn new(name: &'static str, arity: usize, call: Call) -> Native {
    Native { name, arity, call }
}

/// Those whose names begin with `_` are for the compiler and the prelude alone.
static NATIVES: &[Native] = &[
    new("_captured", 0, regex::captured),
    new("_flatten", 1, objects::flatten),
    new("_group_by", 1, sorting::group_by),
    new("_match", 3, regex::find),
    new("_max_by", 1, sorting::max_by),
    new("_min_by", 1, sorting::min_by),
    new("_negate", 0, numbers::negate),
    new("_reverse", 0, objects::reverse),
    new("_sort_by", 1, sorting::sort_by),
    new("_splits", 2, regex::split),
    new("_spread", 2, texts::spread),
    new("_unique_by", 1, sorting::unique_by),
    new("add", 0, objects::add),
    new("ascii_downcase", 0, texts::ascii_downcase),
    new("ascii_upcase", 0, texts::ascii_upcase),
    new("bsearch", 1, sorting::bsearch),
    new("contains", 1, objects::contains),
    new("debug", 0, |_, input, _| Ok(input)),
    new("delpaths", 1, paths::delpaths),
    new("endswith", 1, texts::endswith),
    new("error", 0, |_, input, _| Err(Stop::Error(input))),
    new("explode", 0, texts::explode),
    new("format", 1, formats::format),
    new("from_entries", 0, objects::from_entries),
    new("fromjson", 0, json::fromjson),
    new("gmtime", 0, dates::gmtime),
    new("has", 1, paths::has),
    new("have_decnum", 0, |_, _, _| Ok(Value::Bool(true))),
    new("have_literal_numbers", 0, |_, _, _| Ok(Value::Bool(true))),
    new("implode", 0, texts::implode),
    new("indices", 1, texts::indices),
    new("infinite", 0, |_, _, _| Ok(Value::Float(f64::INFINITY))),
    new("isinfinite", 0, numbers::isinfinite),
    new("isnan", 0, numbers::isnan),
    new("isnormal", 0, numbers::isnormal),
    new("join", 1, objects::join),
    new("keys", 0, objects::keys),
    new("keys_unsorted", 0, objects::keys_unsorted),
    new("length", 0, objects::length),
    new("localtime", 0, dates::localtime),
    new("ltrim", 0, texts::ltrim),
    new("ltrimstr", 1, texts::ltrimstr),
    new("max", 0, sorting::max),
    new("min", 0, sorting::min),
    new("mktime", 0, dates::mktime),
    new("nan", 0, |_, _, _| Ok(Value::Float(f64::NAN))),
    new("not", 0, |_, input, _| Ok(Value::Bool(!input.is_truthy()))),
    new("now", 0, dates::now),
    new("rtrim", 0, texts::rtrim),
    new("rtrimstr", 1, texts::rtrimstr),
    new("setpath", 2, paths::setpath),
    new("sort", 0, sorting::sort),
    new("split", 1, texts::split),
    new("startswith", 1, texts::startswith),
    new("stderr", 0, |_, input, _| Ok(input)),
    new("strflocaltime", 1, dates::strflocaltime),
    new("strftime", 1, dates::strftime),
    new("strptime", 1, dates::strptime),
    new("to_entries", 0, objects::to_entries),
    new("toboolean", 0, json::toboolean),
    new("tojson", 0, json::tojson),
    new("tonumber", 0, json::tonumber),
    new("tostring", 0, json::tostring),
    new("trim", 0, texts::trim),
    new("type", 0, |_, input, _| Ok(Value::from(input.type_name()))),
    new("unique", 0, sorting::unique),
    new("utf8bytelength", 0, texts::utf8bytelength),
];

static FOUND: LazyLock<HashMap<(&'static str, usize), &'static Native>> = LazyLock::new(|| {
    let all = NATIVES.iter().chain(numbers::FUNCTIONS);
    all.map(|native| ((native.name, native.arity), native)).collect()
});

/// The function of that name and number of arguments.
pub(super) fn native(name: &str, arity: usize) -> Option<&'static Native> {
    FOUND.get(&(name, arity)).copied()
}

/// The error for a function that there is not.
pub(super) fn unknown(name: &str, arity: usize, place: Place) -> SyntaxError {
    const OUTSIDE: [&str; 14] = [
        "env",
        "input",
        "inputs",
        "halt",
        "halt_error",
        "input_filename",
        "input_line_number",
        "getenv",
        "get_search_list",
        "get_prog_origin",
        "get_jq_origin",
        "modulemeta",
        "import",
        "include",
    ];
    let message = if OUTSIDE.contains(&name) {
        format!("`{name}` is not to be had: expressions can't reach files, other inputs or the process")
    } else {
        format!("`{name}/{arity}` is not a function: jq has none of that name and number of arguments")
    };
    error(place, message)
}
