//! Names and versions of definitions.

/// Whether `text` is a semantic version (semver.org, 2.0.0).
pub(crate) fn is_semver(text: &str) -> bool {
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    let (core, pre) = match rest.split_once('-') {
        Some((core, pre)) => (core, Some(pre)),
        None => (rest, None),
    };
    let identifiers = |list: &str, numbers_strict: bool| {
        list.split('.').all(|part| {
            let allowed = !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            let leading_zero = part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
            allowed && !(numbers_strict && leading_zero)
        })
    };
    let numbers: Vec<&str> = core.split('.').collect();
    let number =
        |n: &&str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()) && (n.len() == 1 || !n.starts_with('0'));
    numbers.len() == 3
        && numbers.iter().all(number)
        && pre.is_none_or(|p| identifiers(p, true))
        && build.is_none_or(|b| identifiers(b, false))
}

/// Whether `text` is one DNS label (RFC 1123): letters, digits and hyphens, at most 63, no hyphen at either end.
pub(crate) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["0.1.0", "1.0.0-alpha.1", "1.0.0+build.01", "10.20.30", "1.0.0-x-y.0+z"] {
            assert!(is_semver(good), "{good}");
        }
        for bad in ["1", "1.0", "01.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", "1.0.0+", "1.0.0.0", "latest", "1.0.0-é"] {
            assert!(!is_semver(bad), "{bad}");
        }
    }

    #[test]
    fn labels() {
        let longest = "a".repeat(63);
        for good in ["a", "A-1", longest.as_str()] {
            assert!(is_label(good), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a.b", "a_b", "é", too_long.as_str()] {
            assert!(!is_label(bad), "{bad}");
        }
    }
}
