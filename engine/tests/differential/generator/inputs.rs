//! Values to try programs on.

use super::{Generator, quoted};

const KEYS: &[&str] = &["a", "b", "c", "k", "v", "key", "value", "", "é", "a b"];

const TEXTS: &[&str] =
    &["", "a", "b", "ab", "x1", "a,b", "Grüße", "😀", "10", "true", "2015-03-05T23:51:47Z", "\u{1}\n", "null"];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "1.5",
    "-2.5",
    "10",
    "1e3",
    "1.10",
    "0.1",
    "1e17",
    "9007199254740993",
    "-0.0",
    "100000000000000000000",
    "1e-5",
    "1425599621",
];

impl Generator {
    /// A JSON text.
    pub fn input(&mut self) -> String {
        let depth = self.chance.below(4);
        self.value(depth)
    }

    fn value(&mut self, depth: usize) -> String {
        match self.chance.below(if depth == 0 { 6 } else { 10 }) {
            0 => self.chance.pick(&["null", "true", "false"]).to_owned(),
            1..=3 => self.chance.pick(NUMBERS).to_owned(),
            4 | 5 => quoted(self.chance.pick(TEXTS)),
            6 | 7 => {
                let items: Vec<String> = (0..self.chance.below(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => {
                let members: Vec<String> = (0..self.chance.below(4))
                    .map(|_| format!("{}:{}", quoted(self.chance.pick(KEYS)), self.value(depth - 1)))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }
}
