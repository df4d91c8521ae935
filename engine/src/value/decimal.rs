//! Numbers whose digits a double or a 64-bit integer would lose, kept as they were written: `1.50`, `1E+2`,
//! `100000000000000000000`. jq keeps such a number until it is computed with.

use std::cmp::Ordering;
use std::fmt::Write;

use ecow::EcoString;

use super::Value;
use super::number::{format_f64, normalize};

/// A number as its digits.
#[derive(Clone, Debug)]
pub struct Decimal(EcoString);

/// Significant digits that decide which double a decimal is.
const DOUBLE_DIGITS: usize = 17;

/// Exponents beyond this are infinite, or nothing.
const EXPONENT_MAX: i64 = 999_999_999;

/// Sign, digits without zeros in front, and the power of ten of the last digit.
struct Parts {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// A decimal literal: digits, perhaps with a point and an exponent.
fn parts(text: &str) -> Option<Parts> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let mut digits = String::with_capacity(whole.len() + fraction.len());
    digits.push_str(whole);
    digits.push_str(fraction);
    let kept = digits.trim_start_matches('0').len().max(1);
    digits.drain(..digits.len() - kept);
    Some(Parts { negative, digits, exponent: exponent - fraction.len() as i64 })
}

fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // What has more digits is beyond the bound anyway.
    let digits = digits.trim_start_matches('0');
    let size = if digits.len() > 12 { i64::MAX / 4 } else { digits.parse().unwrap_or(0) };
    Some(if text.starts_with('-') { -size } else { size })
}

impl Parts {
    /// The power of ten of the first digit.
    fn magnitude(&self) -> i64 {
        self.exponent + self.digits.len() as i64 - 1
    }

    fn is_zero(&self) -> bool {
        self.digits == "0"
    }

    /// As a decimal number is written: plain, or in scientific notation when that would need many zeros.
    fn write(&self) -> EcoString {
        let mut out = EcoString::new();
        if self.negative {
            out.push('-');
        }
        let (digits, magnitude) = (self.digits.as_str(), self.magnitude());
        if self.exponent > 0 || magnitude < -6 {
            out.push_str(&digits[..1]);
            if digits.len() > 1 {
                out.push('.');
                out.push_str(&digits[1..]);
            }
            // Writing to a text can't fail.
            let _ = write!(out, "E{magnitude:+}");
        } else if self.exponent == 0 {
            out.push_str(digits);
        } else {
            let point = digits.len() as i64 + self.exponent;
            let (whole, fraction) = digits.split_at(point.max(0) as usize);
            out.push_str(if whole.is_empty() { "0" } else { whole });
            out.push('.');
            (point..0).for_each(|_| out.push('0'));
            out.push_str(fraction);
        }
        out
    }

    /// The double: 17 digits of it, rounded half to even, decide.
    fn to_f64(&self) -> f64 {
        let mut digits = self.digits.clone();
        let mut exponent = self.exponent;
        if digits.len() > DOUBLE_DIGITS {
            let rest = digits.split_off(DOUBLE_DIGITS);
            exponent += rest.len() as i64;
            let odd = digits.ends_with(['1', '3', '5', '7', '9']);
            let half = format!("5{}", "0".repeat(rest.len() - 1));
            if rest > half || (rest == half && odd) {
                digits = digits.parse::<u64>().map_or(digits, |n| (n + 1).to_string());
            }
        }
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{digits}e{exponent}").parse().unwrap_or(f64::NAN)
    }
}

impl Decimal {
    /// From digits that are written as they are kept.
    pub(super) fn plain(text: &str) -> Decimal {
        Decimal(text.into())
    }

    /// Its digits, as JSON has them.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The double that computing takes it for.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        // Short ones need no rounding of their own.
        if self.0.len() <= DOUBLE_DIGITS {
            return self.0.parse().unwrap_or(f64::NAN);
        }
        parts(&self.0).map_or(f64::NAN, |parts| parts.to_f64())
    }

    /// Its negative, or without its sign.
    pub(crate) fn with_sign(&self, negative: bool) -> Option<Value> {
        let text = self.0.trim_start_matches('-');
        let zero = parts(text)?.is_zero();
        Value::from_literal(&if negative && !zero { format!("-{text}") } else { text.to_owned() })
    }

    /// Compares its exact value to that of another literal.
    pub(super) fn compare(&self, other: &str) -> Ordering {
        let (Some(a), Some(b)) = (parts(&self.0), parts(other)) else { return Ordering::Equal };
        match (a.is_zero(), b.is_zero()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return if b.negative { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if a.negative { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        if a.negative != b.negative {
            return b.negative.cmp(&a.negative);
        }
        let digits = |parts: &Parts| parts.digits.trim_end_matches('0').to_owned();
        let order = a.magnitude().cmp(&b.magnitude()).then_with(|| digits(&a).cmp(&digits(&b)));
        if a.negative { order.reverse() } else { order }
    }
}

impl Value {
    /// The number that a decimal literal says, with its digits; `None` when it is none. Besides JSON's numbers it takes
    /// what jq takes: `+1`, `.5`, `5.`, `01`, and in any case `nan`, `inf` and `infinity`.
    #[must_use]
    pub fn from_literal(text: &str) -> Option<Value> {
        let Some(mut parts) = parts(text) else { return special(text) };
        if parts.magnitude() > EXPONENT_MAX && !parts.is_zero() {
            return Some(Value::Float(if parts.negative { f64::NEG_INFINITY } else { f64::INFINITY }));
        }
        // A zero has no size that could be too large.
        parts.exponent = parts.exponent.min(EXPONENT_MAX);
        if parts.exponent < -2 * EXPONENT_MAX {
            parts = Parts { digits: "0".into(), exponent: -EXPONENT_MAX, ..parts };
        }
        let text = parts.write();
        if parts.exponent == 0
            && !(parts.negative && parts.is_zero())
            && let Ok(whole) = text.parse()
        {
            return Some(Value::Int(whole));
        }
        let double = parts.to_f64();
        let mut printed = Vec::with_capacity(32);
        if double.is_finite() {
            format_f64(double, &mut printed);
        }
        if printed == text.as_bytes() {
            return Some(normalize(double));
        }
        Some(Value::Decimal(Decimal(text)))
    }
}

fn special(text: &str) -> Option<Value> {
    let (negative, word) = match text.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let is = |name: &str| word.eq_ignore_ascii_case(name);
    if is("nan") || is("snan") {
        return Some(Value::Float(f64::NAN));
    }
    let infinite = is("inf") || is("infinity");
    infinite.then_some(Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }))
}
