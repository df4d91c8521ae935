use std::cmp::Ordering;

use super::*;

fn parse(text: &str) -> Value {
    Value::parse(text.as_bytes(), &ParseLimits::default()).expect("JSON")
}

fn error(text: &[u8]) -> String {
    Value::parse(text, &ParseLimits::default()).expect_err("not JSON").to_string()
}

#[test]
fn what_is_read_is_written_again() {
    for text in [
        "null",
        "true",
        "-12",
        "9223372036854775807",
        "0.1",
        "\"a\\n\\\"ü\"",
        "[1,[],{}]",
        r#"{"b":1,"a":[true,null,{"c":"d"}]}"#,
        "-0",
        "0.00001",
        "1.50",
        "100000000000000000000",
    ] {
        assert_eq!(parse(text).to_json(), text);
    }
}

#[test]
fn numbers_print_as_in_jq() {
    for (text, printed) in [
        ("1e15", "1E+15"),
        ("100000000000000000000", "100000000000000000000"),
        ("1e1000", "1E+1000"),
        ("1.0", "1.0"),
        ("-0.50", "-0.50"),
        ("0.00012", "0.00012"),
        ("0.000012", "0.000012"),
        ("0.00000012", "1.2E-7"),
        ("1234567890123456789012", "1234567890123456789012"),
        ("9007199254740993", "9007199254740993"),
        ("1.5e300", "1.5E+300"),
        ("5e-324", "5E-324"),
        ("12E3", "1.2E+4"),
    ] {
        assert_eq!(parse(text).to_json(), printed, "{text}");
    }
    for (number, printed) in [
        (f64::NAN, "null"),
        (f64::INFINITY, "1.7976931348623157e+308"),
        (1e15, "1000000000000000"),
        (1e20, "1e+20"),
        (1.5e300, "1.5e+300"),
        (0.000_012, "1.2e-05"),
    ] {
        assert_eq!(Value::number(number).to_json(), printed);
    }
    assert_eq!(parse("1.50").as_f64(), Some(1.5));
    assert_eq!(parse("100000000000000000001").compare(&parse("100000000000000000000")), Ordering::Greater);
    assert_eq!(parse("1.50"), parse("1.5"));
}

#[test]
fn errors_say_where() {
    assert_eq!(error(b"{\"a\":\n  tru}"), "found `t`, expected a value at line 2, column 3");
    assert_eq!(error(b"[1,]"), "found `]`, expected a value at line 1, column 4");
    assert_eq!(error(b"01"), "a number may not start with 0 at line 1, column 1");
    assert_eq!(error(b"\"a\xff\""), "the text is not UTF-8 at line 1, column 3");
    assert_eq!(error(b"{\"a\" 1}"), "found `1`, expected `:` at line 1, column 6");
    assert_eq!(error(b"1 2"), "found `2`, expected the end at line 1, column 3");
    assert_eq!(error(&[b'['; 600]), "nested deeper than 512 levels at line 1, column 513");
    assert_eq!(error(b""), "the text ends where a value is expected at line 1, column 1");
}

#[test]
fn the_last_of_two_equal_keys_wins_and_lone_surrogates_are_replaced() {
    assert_eq!(parse(r#"{"a":1,"b":2,"a":3}"#).to_json(), r#"{"a":3,"b":2}"#);
    assert_eq!(parse(r#""\ud83d\ude00 \ud83d x""#).as_str(), Some("😀 \u{fffd} x"));
}

#[test]
fn the_order_is_jqs() {
    let sorted = [
        "null",
        "false",
        "true",
        "-1",
        "0.5",
        "1",
        "\"\"",
        "\"a\"",
        "[]",
        "[0]",
        "[0,1]",
        "[1]",
        "{}",
        r#"{"a":1}"#,
        r#"{"a":2}"#,
        r#"{"a":0,"b":1}"#,
        r#"{"b":0}"#,
    ];
    for (i, a) in sorted.iter().enumerate() {
        for (j, b) in sorted.iter().enumerate() {
            assert_eq!(parse(a).compare(&parse(b)), i.cmp(&j), "{a} {b}");
        }
    }
    assert_eq!(parse(r#"{"a":1,"b":2}"#), parse(r#"{"b":2.0,"a":1}"#));
    assert_eq!(Value::Int(i64::MAX).compare(&Value::Float(9.3e18)), Ordering::Less);
}

#[test]
fn large_objects_keep_their_order() {
    let mut map = Map::new();
    for n in 0..20_000 {
        map.insert(ecow::eco_format!("key{n}"), Value::Int(n));
    }
    assert_eq!(map.get("key19999"), Some(&Value::Int(19_999)));
    let shared = map.clone();
    assert_eq!(map.remove("key5"), Some(Value::Int(5)));
    assert_eq!((map.len(), shared.len(), map.get("key6")), (19_999, 20_000, Some(&Value::Int(6))));
    assert_eq!(map.keys().nth(5).map(EcoString::as_str), Some("key6"));
}

#[test]
fn a_hundred_thousand_levels_are_harmless() {
    let depth = 100_000;
    let text = format!("{}{}", "[{\"a\":".repeat(depth), "1".to_owned() + &"}]".repeat(depth));
    let limits = ParseLimits { depth_max: depth * 2 };
    let value = Value::parse(text.as_bytes(), &limits).expect("JSON");
    let again = Value::parse(text.as_bytes(), &limits).expect("JSON");
    assert!(value == again);
    assert_eq!(value.to_json(), text);
    assert!(value.size() > depth);
}

#[test]
fn pointers_lead_inside() {
    let value = parse(r#"{"a/b":[1,{"c~":2}]}"#);
    assert_eq!(value.pointer("/a~1b/1/c~0"), Some(&Value::Int(2)));
    assert_eq!(value.pointer("/a~1b/7"), None);
}

#[test]
fn a_value_is_three_words_and_crosses_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<Value>();
    assert_eq!(size_of::<Value>(), 24);
}
