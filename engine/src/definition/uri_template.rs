//! URI templates: the simple string expansion of RFC 6570, which is all that the DSL takes.

use std::ops::Range;

/// What is wrong with a template.
pub(crate) struct Wrong {
    /// Where, in bytes.
    pub range: Range<usize>,
    pub message: String,
    pub hint: String,
}

/// Checks that `text` is the URI of an HTTP endpoint, after its variables have been filled in.
pub(crate) fn check(text: &str) -> Result<(), Wrong> {
    let wrong = |range: Range<usize>, message: &str, hint: &str| {
        Err(Wrong { range, message: message.to_owned(), hint: hint.to_owned() })
    };
    if text.is_empty() {
        return wrong(0..0, "the URI is empty", "such as https://example.com/path/{id}");
    }
    if let Some(at) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong(at..at + 1, "a URI has no spaces", "write %20; an expression stands in ${ }");
    }
    let mut at = 0;
    while let Some(found) = text[at..].find(['{', '}']) {
        let open = at + found;
        if text.as_bytes()[open] == b'}' {
            return wrong(open..open + 1, "`}` without `{`", "write %7D for the character itself");
        }
        let Some(length) = text[open..].find('}') else {
            return wrong(open..text.len(), "`{` without `}`", "write %7B for the character itself");
        };
        let name = &text[open + 1..open + length];
        if name.starts_with(['+', '#', '.', '/', ';', '?', '&', '=', ',', '!', '@', '|', '$']) {
            return wrong(
                open..open + length + 1,
                "only simple expansion, {name}, is part of the DSL",
                "use an expression instead: ${ \"https://…/\\(.name)\" }",
            );
        }
        if name.is_empty() || name.contains(['{', ',', '*', ':']) {
            return wrong(open..open + length + 1, "one name is needed between { and }", "such as {id}");
        }
        at = open + length + 1;
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("http" | "https") => Ok(()),
        Some(scheme) if scheme.contains('{') => Ok(()),
        Some(scheme) => wrong(0..scheme.len(), "the scheme must be http or https", "such as https://example.com/path"),
        None if text.starts_with('{') => Ok(()),
        None if text.starts_with('.') || text.starts_with('$') => {
            wrong(0..text.len(), "an endpoint that is an expression must be wrapped", &format!("write ${{ {text} }}"))
        }
        None => wrong(0..text.len(), "the URI must be absolute", "such as https://example.com/path/{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn simple_expansion_only() {
        for good in [
            "https://a.example/{id}?q={q.x}",
            "http://localhost:8080",
            "{base}/x",
            "https://{host}/",
            "HTTPS://x".to_lowercase().as_str(),
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ftp://x",
            "/pets",
            "https://x/{",
            "https://x/}",
            "https://x/{+y}",
            "https://x/{}",
            "https://x/{a,b}",
            "https://x/a b",
            ".url",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
