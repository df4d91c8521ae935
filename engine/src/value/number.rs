//! Numbers as jq prints them.

use super::Value;

/// Up to here every whole number is a double of its own, and no other number rounds to it.
const EXACT_MAX: f64 = 9_007_199_254_740_991.0;

/// Whole numbers that a double holds exactly as `Int`, others (and `-0`) as `Float`.
pub(super) fn normalize(value: f64) -> Value {
    if value.abs() <= EXACT_MAX {
        let whole = value as i64;
        if whole as f64 == value && (whole != 0 || value.is_sign_positive()) {
            return Value::Int(whole);
        }
    }
    Value::Float(value)
}

/// Writes a double as jq 1.8 does: the shortest digits that read back the same, `null` for NaN, the largest double for
/// infinities.
pub fn format_f64(value: f64, out: &mut Vec<u8>) {
    use std::io::Write;
    if value.is_nan() {
        out.extend_from_slice(b"null");
        return;
    }
    let value = value.clamp(f64::MIN, f64::MAX);
    if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
        return;
    }
    if (1e-3..1e15).contains(&value.abs()) {
        // Here the digits stand without an exponent, so they can be taken as they come.
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    }
    let mut scratch = [0u8; 40];
    let mut rest = &mut scratch[..];
    write!(rest, "{:e}", value.abs()).expect("a double's shortest form fits");
    let unused = rest.len();
    let text = &scratch[..scratch.len() - unused];
    let e = text.iter().position(|byte| *byte == b'e').expect("exponent form");
    let exponent: i32 = std::str::from_utf8(&text[e + 1..]).ok().and_then(|t| t.parse().ok()).expect("an exponent");
    let mut digits = [0u8; 20];
    let mut count = 0;
    for byte in text[..e].iter().filter(|byte| **byte != b'.') {
        digits[count] = *byte;
        count += 1;
    }
    let digits = &digits[..count];
    if value < 0.0 {
        out.push(b'-');
    }
    let point = exponent + 1;
    let count = count as i32;
    if point <= -4 || point > count + 15 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        write!(out, "e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()).expect("a Vec takes all");
    } else if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-point) as usize, b'0');
        out.extend_from_slice(digits);
    } else if point >= count {
        out.extend_from_slice(digits);
        out.resize(out.len() + (point - count) as usize, b'0');
    } else {
        out.extend_from_slice(&digits[..point as usize]);
        out.push(b'.');
        out.extend_from_slice(&digits[point as usize..]);
    }
}

/// Writes a whole number in decimal.
pub fn format_i64(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}
