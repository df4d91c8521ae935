//! Regular expressions by a grammar of theirs, on texts of the letters that they are made of.

use super::{Generator, quoted};

const LETTERS: &[&str] = &["a", "b", "c", "x", "A", "1", " ", ",", "-", "_", "ab", "bc"];

const CLASSES: &[&str] = &[
    "[abc]",
    "[^a]",
    "[a-c1]",
    "[[:alpha:]]",
    "[[:^digit:]]",
    "[^[:space:]]",
    "[\\\\w-]",
    "[\\d ]",
    "[a-c&&[^b]]",
    "[]a]",
    "\\d",
    "\\D",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\h",
    "\\H",
    "\\p{Alpha}",
    "\\p{^Digit}",
    "\\P{Upper}",
    "\\x61",
    "\\t",
    ".",
];

const PLACES: &[&str] = &["^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\G"];

const TIMES: &[&str] =
    &["?", "*", "+", "{2}", "{1,2}", "{0,}", "{,2}", "{2,}", "*?", "+?", "??", "{1,3}?", "*+", "++", "?+"];

const FLAGS: &[&str] = &[
    "null", "\"g\"", "\"i\"", "\"x\"", "\"gi\"", "\"s\"", "\"n\"", "\"gn\"", "\"l\"", "\"p\"", "\"gx\"", "\"\"",
    "\"q\"", "1",
];

impl Generator {
    /// A regular expression.
    fn expression(&mut self, depth: usize) -> String {
        let mut ways = vec![self.sequence(depth)];
        while self.chance.below(5) == 0 {
            ways.push(self.sequence(depth));
        }
        ways.join("|")
    }

    fn sequence(&mut self, depth: usize) -> String {
        (0..1 + self.chance.below(3)).map(|_| self.piece(depth)).collect()
    }

    fn piece(&mut self, depth: usize) -> String {
        if self.chance.below(8) == 0 {
            return self.chance.pick(PLACES).to_owned();
        }
        let one = match self.chance.below(if depth == 0 { 5 } else { 12 }) {
            0..=2 => self.chance.pick(LETTERS).to_owned(),
            3 | 4 => self.chance.pick(CLASSES).to_owned(),
            5 | 6 => format!("({})", self.expression(depth - 1)),
            7 => {
                let name = self.chance.pick(&["n", "m", "k2"]);
                format!("(?<{name}>{})", self.expression(depth - 1))
            }
            8 => format!("(?:{})", self.expression(depth - 1)),
            9 => format!("(?{}{})", self.chance.pick(&["=", "!", "<=", "<!"]), self.expression(depth - 1)),
            10 => format!(
                "(?{}{})",
                self.chance.pick(&[">", "i:", "-i:", "m:", "x:", "i)", "#"]),
                self.expression(depth - 1)
            ),
            _ => self.chance.pick(&["\\1", "\\k<n>", "\\2", "\\K", "\\g<n>", "\\R", "(?(1)a|b)"]).to_owned(),
        };
        match self.chance.below(3) {
            0 => format!("{one}{}", self.chance.pick(TIMES)),
            _ => one,
        }
    }

    fn subject(&mut self) -> String {
        match self.chance.below(8) {
            0 => ".".to_owned(),
            1 => "tostring".to_owned(),
            2 => self.chance.pick(&["\"äbÄ é1\"", "\"x😀a\"", "\"a\\nb\\r\\nc\"", "\"\"", "\"ABC abc\""]).to_owned(),
            _ => {
                let text: String = (0..1 + self.chance.below(7)).map(|_| self.chance.pick(LETTERS)).collect();
                quoted(&text)
            }
        }
    }

    /// Texts looked through by a regular expression.
    pub(super) fn matched(&mut self) -> String {
        let (subject, pattern) = (self.subject(), self.expression(2));
        let pattern = quoted(&pattern);
        let flags = self.chance.pick(FLAGS);
        let change = self.chance.pick(&[
            "\"-\"",
            "\"<\\(.n)>\"",
            "\"\\(.n // \"z\")\\(.m?)\"",
            "(\"1\", \"2\")",
            "empty",
            "tojson",
            ".n",
            "error(\"e\")",
            "(.n | ascii_upcase)?",
        ]);
        let call = match self.chance.below(12) {
            0 => format!("test({pattern}; {flags})"),
            1 => format!("[match({pattern}; {flags})]"),
            2 => format!("[match([{pattern}, {flags}])]"),
            3 => format!("[match({pattern}; \"g\") | .offset, .length, .string]"),
            4 => format!("[capture({pattern}; {flags})]"),
            5 => format!("[scan({pattern})]"),
            6 => format!("[scan({pattern}; {flags})]"),
            7 => format!("split({pattern}; {flags})"),
            8 => format!("[splits({pattern}; {flags})]"),
            9 => format!("[sub({pattern}; {change})]"),
            10 => format!("[sub({pattern}; {change}; {flags})]"),
            _ => format!("[gsub({pattern}; {change}; {flags})]"),
        };
        format!("{subject} | {call}")
    }
}
