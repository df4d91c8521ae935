//! Plain YAML scalars by the core schema of YAML 1.2.2, section 10.3.2: what has no quotes is a null, boolean, number or text.

/// What a plain scalar is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Plain {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// `.inf` or `.nan`, which JSON does not have.
    NotFinite,
    /// Text.
    Text,
}

/// Resolves a plain scalar.
pub(crate) fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "true" | "True" | "TRUE" => return Plain::Bool(true),
        "false" | "False" | "FALSE" => return Plain::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Plain::NotFinite,
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Plain::NotFinite;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8)
            .ok()
            .filter(|_| !digits.starts_with(['+', '-']))
            .map_or(Plain::Text, Plain::Int);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16)
            .ok()
            .filter(|_| !digits.starts_with(['+', '-']))
            .map_or(Plain::Text, Plain::Int);
    }
    if !is_decimal(unsigned) {
        return Plain::Text;
    }
    if unsigned.bytes().all(|b| b.is_ascii_digit())
        && let Ok(whole) = text.parse::<i64>()
    {
        return Plain::Int(whole);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Plain::Float(number),
        Ok(_) => Plain::NotFinite,
        Err(_) => Plain::Text,
    }
}

/// `( "." [0-9]+ | [0-9]+ ( "." [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let all_digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['-', '+']).unwrap_or(e);
        !digits.is_empty() && all_digits(digits)
    });
    mantissa_ok && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_and_not_yaml_1_1() {
        for text in
            ["yes", "on", "off", "no", "1_000", "0b1", "1:30", "2026-01-01", "e5", ".", "-", "+x", "0x", "1.0.0"]
        {
            assert_eq!(resolve(text), Plain::Text, "{text}");
        }
        assert_eq!(resolve("010"), Plain::Int(10));
        assert_eq!(resolve("0o10"), Plain::Int(8));
        assert_eq!(resolve("-0x1"), Plain::Text);
        assert_eq!(resolve("0x1F"), Plain::Int(31));
        assert_eq!(resolve("-1.5e3"), Plain::Float(-1500.0));
        assert_eq!(resolve("9223372036854775808"), Plain::Float(9_223_372_036_854_775_808.0));
        assert_eq!(resolve(".inf"), Plain::NotFinite);
        assert_eq!(resolve("1e999"), Plain::NotFinite);
        assert_eq!(resolve("~"), Plain::Null);
    }
}
