//! Paths that are put together, and what reads, changes and deletes by them.

use super::Generator;

const KEYS: &[&str] = &[
    "\"a\"",
    "\"b\"",
    "0",
    "1",
    "-1",
    "1.5",
    "null",
    "true",
    "{\"start\":1}",
    "{\"start\":0,\"end\":-1}",
    "[1]",
    "nan",
];

const CHANGES: &[&str] = &[
    ". + 1",
    "tostring",
    "[.]",
    "empty",
    "(., 1)",
    "null",
    "{x: .}",
    "length",
    "select(type == \"number\")",
    "error(\"e\")",
    "(.a?, .)",
    "not",
    "first(.[]?)",
    "map(.)?",
    "1 as $v | $v",
    "if . then 5 else empty end",
    ".. |= .",
    "reduce .[]? as $x (0; . + 1)",
];

impl Generator {
    /// A filter that gives paths, mostly.
    fn way(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .chance
                .pick(&[
                    ".",
                    ".a",
                    ".b",
                    ".[0]",
                    ".[1]",
                    ".[-1]",
                    ".[]",
                    ".[]?",
                    ".a?",
                    ".[0]?",
                    ".a.b",
                    ".[1:]",
                    ".[:-1]",
                    ".[0:1]",
                    "..",
                    "empty",
                    ".v",
                    ".k?",
                    ".[\"a\"]?",
                    ".[2]",
                    ".c",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.chance.below(22) {
            0..=3 => format!("{} | {}", self.way(d), self.way(d)),
            4 => format!("({}), ({})", self.way(d), self.way(d)),
            5 => format!("(({}) // ({}))", self.way(d), self.way(d)),
            6 => format!("if {} then {} else {} end", self.way(d), self.way(d), self.way(d)),
            7 => format!("({})?", self.way(d)),
            8 => format!("try ({}) catch {}", self.way(d), self.way(d)),
            9 => format!("first({})", self.way(d)),
            10 => format!("last({})", self.way(d)),
            11 => format!("limit({}; {})", self.chance.below(3), self.way(d)),
            12 => format!("select({})", self.way(d)),
            13 => format!(
                "recurse({})",
                self.chance.pick(&[".[]?", ".a?", ".[]? | select(. != null)", ".[1:]? | arrays"])
            ),
            14 => format!("getpath({})", self.keys()),
            15 => format!("({}) as $w | {}", self.way(d), self.chance.pick(&[".", "$w", ".a?", ".[$w]?", ".[]?"])),
            16 => format!("reduce ({}) as $w (.; {})", self.chance.pick(&["0", "1, 2", "\"a\"", ".[]?"]), self.way(d)),
            17 => format!("foreach ({}) as $w (.; {})", self.chance.pick(&["0", "1, 2", "empty"]), self.way(d)),
            18 => format!("label $l | ({}) | ., break $l", self.way(d)),
            19 => format!("def f: {}; f", self.way(d)),
            20 => format!("def f(g): g | g; f({})", self.way(d)),
            _ => format!(
                "({} | {})",
                self.way(d),
                self.chance
                    .pick(&[
                        "values",
                        "nulls",
                        "numbers",
                        "arrays",
                        "strings",
                        "error?",
                        "tostring",
                        "skip(1; .[]?)",
                        "nth(0; .[]?)",
                        "to_entries?",
                        ".[]?",
                        "select(.)",
                        "paths",
                        "1",
                        "abs?",
                        "$__loc__",
                        "input_line_number?",
                        "debug"
                    ])
                    .replace("input_line_number?", ".")
            ),
        }
    }

    /// A path as a value.
    fn keys(&mut self) -> String {
        let keys: Vec<&str> = (0..self.chance.below(4)).map(|_| self.chance.pick(KEYS)).collect();
        match self.chance.below(12) {
            0 => "paths".to_owned(),
            1 => self.chance.pick(&["\"a\"", "null", "0", "{}", "[[]]"]).to_owned(),
            _ => format!("[{}]", keys.join(",")),
        }
    }

    /// Reading, changing and deleting by paths.
    pub(super) fn paths(&mut self) -> String {
        let depth = self.chance.below(3);
        let way = self.way(depth);
        let change = self.chance.pick(CHANGES);
        match self.chance.below(20) {
            0..=2 => format!("[path({way})]"),
            3 => format!("[paths({way})]"),
            4 | 5 => format!("del({way})"),
            6 => format!("to_entries? | del({way})"),
            7 | 8 => format!("({way}) |= ({change})"),
            9 => format!("({way}) = ({change})"),
            10 | 11 => {
                format!("({way}) {} ({change})", self.chance.pick(&["+=", "-=", "*=", "/=", "%=", "//="]))
            }
            12 => format!("pick({way})"),
            13 => format!("getpath({})", self.keys()),
            14 => format!("setpath({}; {change})", self.keys()),
            15 => {
                let paths: Vec<String> = (0..self.chance.below(4)).map(|_| self.keys()).collect();
                format!("delpaths([{}])", paths.join(","))
            }
            16 => format!("[getpath(path({way}))] == [{way}]"),
            17 => format!("reduce path({way}) as $p (.; setpath($p; {change}))"),
            18 => format!("[path({way})] as $ps | delpaths($ps)"),
            _ => format!("map_values({change}), (walk({change})), (with_entries(.value |= ({change})))"),
        }
    }
}
