//! Text for people: tables, fields, spans of time.

use trinity_engine::value::Value;

/// Room for values in a line of a timeline or field, in characters.
pub const VALUE_WIDTH: usize = 100;

/// A column of a table: its name, and what it shows of an item.
pub struct Column {
    pub name: &'static str,
    pub show: fn(&Value) -> String,
}

/// A table of items, with a heading; nothing but the heading when there are none.
pub fn table(columns: &[Column], items: &[Value]) -> String {
    let heading = columns.iter().map(|column| column.name.to_owned()).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| printable(&(column.show)(item))).collect());
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    lines(&rows, "  ")
}

/// Names and values below each other; those without a value are left out.
pub fn fields(fields: &[(&str, String)]) -> String {
    let shown = fields.iter().filter(|(_, value)| !value.is_empty());
    let rows: Vec<Vec<String>> = shown.map(|(name, value)| vec![format!("{name}:"), printable(value)]).collect();
    lines(&rows, " ")
}

/// Rows with their cells below each other. The last one is not filled up.
pub fn lines(rows: &[Vec<String>], gap: &str) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                line.push_str(gap);
            }
            line.push_str(cell);
            let fill = widths[column].saturating_sub(cell.chars().count());
            line.extend(std::iter::repeat_n(' ', fill));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Without control characters: what a server sends must not steer the user's terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A member's text; a number or other value as JSON; empty when it is absent or null.
pub fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_json(),
    }
}

/// A value in one short line of JSON.
pub fn short(value: &Value, width: usize) -> String {
    let json = value.to_json();
    if json.chars().count() <= width {
        return json;
    }
    let kept: String = json.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A span of time of so many milliseconds.
pub fn span(millis: f64) -> String {
    let seconds = millis / 1_000.0;
    if millis < 1_000.0 {
        return format!("{} ms", trimmed(millis));
    }
    if seconds < 60.0 {
        return format!("{} s", trimmed(seconds));
    }
    let whole = seconds as u64;
    let (days, hours, minutes, seconds) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {seconds} s"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Three digits, without zeros at the end.
fn trimmed(number: f64) -> String {
    let digits = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    let text = format!("{number:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use trinity_engine::value::ParseLimits;

    use super::*;

    fn json(text: &str) -> Value {
        Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
    }

    #[test]
    fn columns_stand_below_each_other() {
        let columns = [
            Column { name: "NAME", show: |item| text(item, "/name") },
            Column { name: "AGE", show: |item| text(item, "/age") },
            Column { name: "OF", show: |item| text(item, "/parent/name") },
        ];
        let items =
            [json(r#"{"name": "Zoë", "age": 7}"#), json(r#"{"name": "\u001b[1mEve", "parent": {"name": "Ada"}}"#)];
        expect![[r#"
            NAME     AGE  OF
            Zoë      7
            �[1mEve       Ada
        "#]]
        .assert_eq(&table(&columns, &items));
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let shown = fields(&[("id", "1".to_owned()), ("error", String::new()), ("status", "completed".to_owned())]);
        expect![[r#"
            id:     1
            status: completed
        "#]]
        .assert_eq(&shown);
    }

    #[test]
    fn spans_have_three_digits() {
        let spans = [0.0, 0.004, 1.0, 12.34, 123.4, 999.6, 1_500.0, 59_940.0, 60_000.0, 3_725_000.0, 90_061_000.0];
        let shown: Vec<String> = spans.into_iter().map(span).collect();
        let expected = [
            "0 ms",
            "0 ms",
            "1 ms",
            "12.3 ms",
            "123 ms",
            "1000 ms",
            "1.5 s",
            "59.9 s",
            "1 min 0 s",
            "1 h 2 min",
            "1 d 1 h",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(short(&json(r#"{"a": [1, 2]}"#), 20), r#"{"a":[1,2]}"#);
        assert_eq!(short(&json(r#"{"a": [1, 2]}"#), 6), r#"{"a":…"#);
    }
}
