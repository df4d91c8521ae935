//! Programs by chance: by a grammar of the language, so that most of them do something on some input.
//!
//! | file | makes |
//! | --- | --- |
//! | `language`, `kinds`, `words` | any filter; filters that mostly give one kind; leaves |
//! | `regexes`, `dates`, `numbers`, `texts` | what functions of these are asked |
//! | `paths`, `folds` | paths and assignments; folds, labels, loops |
//! | `inputs` | values to try them on |

mod dates;
mod folds;
mod inputs;
mod kinds;
mod language;
mod numbers;
mod paths;
mod regexes;
mod texts;
mod words;

use words::{LITERALS, PATHS, STEPS, UNARY};

/// A source of chance: the same seed gives the same programs.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}
/// What makes programs.
pub struct Generator {
    pub chance: Chance,
    variables: Vec<String>,
    functions: Vec<(String, usize)>,
    labels: Vec<String>,
    names: usize,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            chance: Chance::new(seed),
            variables: Vec::new(),
            functions: Vec::new(),
            labels: Vec::new(),
            names: 0,
        }
    }

    /// A program.
    pub fn program(&mut self) -> String {
        (self.variables, self.functions, self.labels, self.names) = Default::default();
        let depth = 1 + self.chance.below(4);
        match self.chance.below(10) {
            4 => self.matched(),
            5 => self.dates(),
            6 => self.numbers(),
            7 => self.texts(),
            8 => self.paths(),
            9 => self.folds(),
            0 => self.filter(depth + 1),
            1 => self.filter(depth),
            2 => self.number(depth),
            _ => match self.chance.below(3) {
                0 => self.list(depth),
                1 => self.text(depth),
                _ => self.object(depth),
            },
        }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("x{}", self.names)
    }

    fn leaf(&mut self) -> String {
        match self.chance.below(10) {
            0..=4 => self.chance.pick(STEPS).to_owned(),
            5 if !self.variables.is_empty() => {
                let place = self.chance.below(self.variables.len());
                format!("${}", self.variables[place])
            }
            5 | 6 => match self.chance.pick(UNARY) {
                "isvalid_" | "leaf" | "halt_" => ".".to_owned(),
                name => name.to_owned(),
            },
            _ => self.chance.pick(LITERALS).to_owned(),
        }
    }

    fn inner(&mut self, depth: usize) -> String {
        let filter = self.filter(depth - 1);
        format!("({filter})")
    }

    fn path(&mut self) -> String {
        self.chance.pick(PATHS).to_owned()
    }

    /// A filter with a new variable in sight.
    fn with_variable(&mut self, build: impl FnOnce(&mut Self, &str) -> String) -> String {
        let name = self.name();
        self.variables.push(name.clone());
        let built = build(self, &name);
        self.variables.pop();
        built
    }
}

/// A text as the language writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
