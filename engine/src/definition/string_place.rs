//! Places within strings: a finding in an expression points into the text, however its string is quoted or folded.

use super::document::{Kind, Node, Style};
use super::source::{Source, Span};

/// The bytes of the text that `range` (bytes) of the string at `node` was written as.
pub(crate) fn span_in_string(source: &Source<'_>, node: &Node, range: std::ops::Range<usize>) -> Span {
    let Kind::String(text, style) = &node.kind else { return node.span };
    let raw = &source.text[node.span.range()];
    let map = align(raw, text, *style);
    let at = |offset: usize| map.iter().rev().find(|(decoded, _)| *decoded <= offset).map_or(0, |(_, raw)| *raw);
    let base = node.span.start as usize;
    let start = at(range.start);
    let end = if range.end > range.start { at(range.end).max(start) } else { start };
    Span::new(base + start, base + end)
}

/// Pairs of offsets (in the decoded string, in its text), ascending: one for each character and one for the end.
fn align(raw: &str, decoded: &str, style: Style) -> Vec<(usize, usize)> {
    let mut pairs = Vec::with_capacity(decoded.len() + 1);
    let mut at = match style {
        Style::Plain => 0,
        Style::Single | Style::Double => 1,
        Style::Block => block_begin(raw),
    };
    for (offset, wanted) in decoded.char_indices() {
        // Indentation, folded line breaks and escaped line breaks have no character of their own in the string.
        while let Some(c) = raw[at.min(raw.len())..].chars().next() {
            let folded = c.is_whitespace() && c != wanted && !(wanted == ' ' && c == '\n');
            let escaped_break = style == Style::Double && raw[at..].starts_with("\\\n");
            if !folded && !escaped_break {
                break;
            }
            at += if escaped_break { 2 } else { c.len_utf8() };
        }
        pairs.push((offset, at.min(raw.len())));
        at += unit(&raw[at.min(raw.len())..], wanted, style);
        if wanted == '\n' || raw[..at.min(raw.len())].ends_with('\n') {
            let rest = &raw[at.min(raw.len())..];
            if style != Style::Block {
                at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
            } else {
                at += rest.bytes().take_while(|b| *b == b' ').count().min(block_indent(raw));
            }
        }
    }
    pairs.push((decoded.len(), at.min(raw.len())));
    pairs
}

/// Length of the text of one character of the string.
fn unit(raw: &str, wanted: char, style: Style) -> usize {
    match style {
        Style::Single if raw.starts_with("''") => 2,
        Style::Double if raw.starts_with('\\') => match raw.as_bytes().get(1) {
            Some(b'x') => 4,
            Some(b'u') => 6,
            Some(b'U') => 10,
            _ => 2,
        },
        _ => raw.chars().next().map_or(0, |c| if c == wanted || c == '\n' { c.len_utf8() } else { wanted.len_utf8() }),
    }
    .min(raw.len())
}

/// Indentation of a block scalar's content.
fn block_indent(raw: &str) -> usize {
    let mut lines = raw.lines();
    if raw.starts_with(['|', '>']) {
        lines.next();
    }
    lines.find(|l| !l.trim().is_empty()).map_or(0, |l| l.bytes().take_while(|b| *b == b' ').count())
}

/// Where a block scalar's content begins: after the header line and the indentation.
fn block_begin(raw: &str) -> usize {
    let header = if raw.starts_with(['|', '>']) { raw.find('\n').map_or(raw.len(), |i| i + 1) } else { 0 };
    header + raw[header..].bytes().take_while(|b| *b == b' ').count().min(block_indent(raw))
}
