//! Spans of time and sizes as people write them.

use std::time::Duration;

use trinity_engine::definition::duration;

/// `500ms`, `30s`, `2m`, `1h`, `7d`, or ISO 8601; a bare number counts seconds.
pub(crate) fn span(text: &str) -> Option<Duration> {
    if text.starts_with('P') {
        let micros = duration::parse_iso8601(text).ok()?.nominal_micros();
        return Some(Duration::from_micros(micros));
    }
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// `500MB`, `10GiB`, …; a bare number counts bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = match unit.trim() {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number * unit;
    (bytes.is_finite() && bytes < 1e18).then_some(bytes as u64)
}

fn split(text: &str) -> Option<(f64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_people_write_them() {
        let millis = |text: &str| span(text).map(|span| span.as_millis());
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("0"), Some(0));
        assert_eq!(millis("1.5m"), Some(90_000));
        assert_eq!(millis("PT2S"), Some(2_000));
        for wrong in ["", "s", "-1s", "1x", "1 s", "P", "1e9999s"] {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_as_people_write_them() {
        assert_eq!(bytes("1024"), Some(1024));
        assert_eq!(bytes("500MB"), Some(500_000_000));
        assert_eq!(bytes("1.5 GiB"), Some(1_610_612_736));
        for wrong in ["", "GB", "1 XB", "-1GB", "1e30TB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
