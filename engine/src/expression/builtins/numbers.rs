//! Functions on numbers. Those of the standard library are the platform's; the rare ones are `libm`'s, the same everywhere.

use super::{Arguments, Native};
use crate::expression::errors::{Stop, refuse};
use crate::expression::run::Run;
use crate::value::Value;

type Done = Result<Value, Stop>;

pub fn negate(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    negated(&input)
}

/// The number after the greatest of 64 bits.
fn beyond() -> Value {
    Value::from_literal("9223372036854775808").unwrap_or_default()
}

/// `-x`
pub fn negated(value: &Value) -> Done {
    Ok(match value {
        Value::Int(number) => number.checked_neg().map_or_else(beyond, Value::Int),
        Value::Float(number) => Value::number(-number),
        Value::Decimal(number) => number.with_sign(!number.as_str().starts_with('-')).unwrap_or_default(),
        other => return Err(refuse(other, "cannot be negated")),
    })
}

/// A number without its sign; anything else as it is.
pub fn absolute(value: &Value) -> Value {
    match value {
        Value::Int(number) => number.checked_abs().map_or_else(beyond, Value::Int),
        Value::Float(number) => Value::number(number.abs()),
        Value::Decimal(number) => number.with_sign(false).unwrap_or_default(),
        other => other.clone(),
    }
}

pub fn isinfinite(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    Ok(Value::Bool(input.as_f64().is_some_and(f64::is_infinite)))
}

pub fn isnan(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    Ok(Value::Bool(input.as_f64().is_some_and(f64::is_nan)))
}

pub fn isnormal(_: &mut Run<'_>, input: Value, _: Arguments<'_>) -> Done {
    Ok(Value::Bool(input.as_f64().is_some_and(f64::is_normal)))
}

fn number(value: &Value) -> Result<f64, Stop> {
    value.as_f64().ok_or_else(|| refuse(value, "number required"))
}

/// 2 to the power of `exponent`, times `x`.
fn scaled(x: f64, exponent: f64) -> f64 {
    libm::ldexp(x, exponent.clamp(-5_000.0, 5_000.0) as i32)
}

/// The same, with what does not fit so many bits taken for the least, as a processor does.
fn scaled_within(x: f64, exponent: f64, bits: i32) -> f64 {
    scaled(x, if exponent.abs() < 2.0_f64.powi(bits - 1) { exponent } else { f64::NEG_INFINITY })
}

fn scalb(x: f64, exponent: f64) -> f64 {
    if exponent.is_nan() || (exponent.is_finite() && exponent.fract() != 0.0) {
        return f64::NAN;
    }
    scaled(x, exponent)
}

fn significand(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() { x } else { 2.0 * libm::frexp(x).0 }
}

fn logb(x: f64) -> f64 {
    if x == 0.0 {
        f64::NEG_INFINITY
    } else if x.is_finite() {
        f64::from(libm::frexp(x).1 - 1)
    } else {
        x * x
    }
}

fn pair(first: f64, second: f64) -> Value {
    [Value::number(first), Value::number(second)].into_iter().collect()
}

macro_rules! functions {
    (
        of_one { $($one:literal => $compute_one:expr,)* }
        of_two { $($two:literal => $compute_two:expr,)* }
        pairs { $($pair:literal => $compute_pair:expr,)* }
    ) => {
        /// Functions of one number, the input, and of several, their arguments.
        pub(super) static FUNCTIONS: &[Native] = &[
            $(super::new($one, 0, |_, input, _| {
                let compute: fn(f64) -> f64 = $compute_one;
                Ok(Value::number(compute(number(&input)?)))
            }),)*
            $(super::new($two, 2, |_, _, arguments| {
                let compute: fn(f64, f64) -> f64 = $compute_two;
                Ok(Value::number(compute(number(&arguments[0])?, number(&arguments[1])?)))
            }),)*
            $(super::new($pair, 0, |_, input, _| {
                let compute: fn(f64) -> (f64, f64) = $compute_pair;
                let (first, second) = compute(number(&input)?);
                Ok(pair(first, second))
            }),)*
            super::new("fma", 3, |_, _, arguments| {
                let [x, y, z] = [number(&arguments[0])?, number(&arguments[1])?, number(&arguments[2])?];
                Ok(Value::number(x.mul_add(y, z)))
            }),
        ];
    };
}

functions! {
    of_one {
        "floor" => f64::floor,
        "ceil" => f64::ceil,
        "round" => f64::round,
        "nearbyint" => f64::round_ties_even,
        "rint" => f64::round_ties_even,
        "trunc" => f64::trunc,
        "fabs" => f64::abs,
        "sqrt" => f64::sqrt,
        "cbrt" => f64::cbrt,
        "exp" => f64::exp,
        "exp2" => f64::exp2,
        "exp10" => |x| 10.0_f64.powf(x),
        "expm1" => f64::exp_m1,
        "log" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "log1p" => f64::ln_1p,
        "logb" => logb,
        "significand" => significand,
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => libm::asinh,
        "acosh" => libm::acosh,
        "atanh" => libm::atanh,
        "gamma" => libm::lgamma,
        "lgamma" => libm::lgamma,
        "tgamma" => libm::tgamma,
        "erf" => libm::erf,
        "erfc" => libm::erfc,
        "j0" => libm::j0,
        "j1" => libm::j1,
        "y0" => libm::y0,
        "y1" => libm::y1,
    }
    of_two {
        "pow" => f64::powf,
        "atan2" => f64::atan2,
        "hypot" => f64::hypot,
        "fmod" => |x, y| x % y,
        "remainder" => libm::remainder,
        "drem" => libm::remainder,
        "fmin" => f64::min,
        "fmax" => f64::max,
        "fdim" => libm::fdim,
        "copysign" => f64::copysign,
        "nextafter" => libm::nextafter,
        "nexttoward" => libm::nextafter,
        "ldexp" => |x, exponent| scaled_within(x, exponent, 32),
        "scalb" => scalb,
        "scalbln" => |x, exponent| scaled_within(x, exponent, 64),
        "jn" => |n, x| libm::jn(n as i32, x),
        "yn" => |n, x| libm::yn(n as i32, x),
    }
    pairs {
        "frexp" => |x| {
            let (fraction, exponent) = libm::frexp(x);
            (fraction, f64::from(exponent))
        },
        "modf" => |x| (if x.is_infinite() { 0.0_f64.copysign(x) } else { (x - x.trunc()).copysign(x) }, x.trunc()),
        "lgamma_r" => |x| {
            let (value, sign) = libm::lgamma_r(x);
            (value, f64::from(sign))
        },
    }
}
