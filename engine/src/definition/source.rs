//! The text of a definition, and places in it.

/// A range of bytes in the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// From byte offsets; texts are far below 4 GiB.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Span {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: clamp(start), end: clamp(end.max(start)) }
    }

    /// Its bytes as a range.
    #[must_use]
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place as people and editors count: from 1, columns in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// Length in characters, at least 1; never beyond the end of the line.
    pub length: u32,
}

/// A text with an index of its lines.
#[derive(Debug)]
pub struct Source<'s> {
    /// The text.
    pub text: &'s str,
    line_starts: Vec<u32>,
}

impl<'s> Source<'s> {
    /// Indexes `text`.
    #[must_use]
    pub fn new(text: &'s str) -> Source<'s> {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        let line_starts = std::iter::once(0).chain(breaks).map(|i| u32::try_from(i).unwrap_or(u32::MAX)).collect();
        Source { text, line_starts }
    }

    /// The line with number `line` (from 1), without its end; empty beyond the text.
    #[must_use]
    pub fn line(&self, line: u32) -> &'s str {
        let Some(&start) = self.line_starts.get((line as usize).wrapping_sub(1)) else { return "" };
        let end = self.line_starts.get(line as usize).map_or(self.text.len(), |e| *e as usize);
        self.text[start as usize..end].trim_end_matches(['\n', '\r'])
    }

    /// Where `span` begins and how far it reaches in that line.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let start = self.floor(span.start as usize);
        let index = self.line_starts.partition_point(|s| *s as usize <= start).max(1) - 1;
        let line_start = self.line_starts[index] as usize;
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let line_end = line_start + self.line(number).len();
        let end = self.floor(span.end as usize).min(line_end);
        let column = self.text[line_start..start].chars().count() + 1;
        let length = if end > start { self.text[start..end].trim_end().chars().count() } else { 1 };
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { line: number, column: clamp(column), length: clamp(length.max(1)) }
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_characters_and_lengths_stay_in_the_line() {
        let source = Source::new("a: é\nbé: x\r\ny");
        assert_eq!(source.place(Span::new(6, 12)), Place { line: 2, column: 1, length: 5 });
        assert_eq!(source.place(Span::new(11, 12)), Place { line: 2, column: 5, length: 1 });
        assert_eq!(source.line(2), "bé: x");
    }
}
