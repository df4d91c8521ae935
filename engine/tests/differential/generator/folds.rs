//! Folds, labels and what goes on until something holds, with several outputs everywhere.

use super::Generator;

const SOURCES: &[&str] = &[
    "1, 2, 3",
    ".[]?",
    "empty",
    "range(4)",
    "range(0; 10; 3)",
    "range(3; 0; -1)",
    "..",
    "1, error(\"s\")",
    "\"a\", null",
    "[1, 2], [3, 4]",
    "{a: 1}, {a: 2, b: [3]}",
    "0, 1, 2",
    "limit(3; repeat(1))",
    "keys[]?",
    "to_entries[]?",
    "0.5, 1e3",
];

const STATES: &[&str] = &["0", ".", "null", "[]", "{}", "1, 2", "empty", "\"\"", "{n: 0}", "[0, 1]", "error(\"i\")"];

const UPDATES: &[&str] = &[
    ". + $x",
    "[., $x]",
    "empty",
    "., $x",
    "if . == null then 1 else null end",
    "$x",
    ". + 1",
    "error($x)",
    "(.n? // 0) + 1",
    ".[\"k\\($x)\"]? = $x",
    "select($x != 2)",
    "1 - .",
    "tostring + \"\\($x)\"",
    "(. + $x)?",
    ". + [$x]",
    "break $out",
    "., break $out",
    "{n: ., x: $x}",
    "first(., $x)",
    "[.[]?, $x] | .[1:]",
    "$x as $y | [$y]",
];

const CONDITIONS: &[&str] = &[
    ". > 5",
    ". < 20",
    "length > 3",
    "true",
    "false",
    "null",
    ". == 3",
    "type == \"array\"",
    "(true, false)",
    "empty",
    "error(\"c\")",
    ". % 2 == 0",
];

impl Generator {
    /// Something that folds, or ends by itself.
    pub(super) fn folds(&mut self) -> String {
        let (source, other) = (self.chance.pick(SOURCES), self.chance.pick(SOURCES));
        let (state, update) = (self.chance.pick(STATES), self.chance.pick(UPDATES));
        let extract = self.chance.pick(&["", "; .", "; [$x, .]", "; ., 0", "; empty", "; select(. != null)"]);
        let condition = self.chance.pick(CONDITIONS);
        let pattern = self.chance.pick(&[
            "$x",
            "$x",
            "$x",
            "[$x]",
            "{a: $x}",
            "[$x, $z]",
            "{a: $x} ?// $x",
            "[$x] ?// {a: $x} ?// $x",
            "{$a, b: [$x]}",
            "{\"a\": $x}",
            "{(\"a\", \"b\"): $x}",
            "[[$x]] ?// [$x] ?// $x",
        ]);
        let count = self.chance.pick(&["0", "1", "2", "5", "-1", "1, 2", "null", "1.5", "\"a\"", "nan"]);
        let body = match self.chance.below(20) {
            0..=2 => format!("reduce ({source}) as {pattern} ({state}; {update})"),
            3..=5 => format!("foreach ({source}) as {pattern} ({state}; {update}{extract})"),
            6 => format!("({source}) as {pattern} | {update}"),
            7 => format!("limit({count}; {source})"),
            8 => format!("skip({count}; {source})"),
            9 => format!("nth({count}; {source})"),
            10 => format!("first({source}), last({source}), isempty({source})"),
            11 => format!("any({source}; {condition}), all({source}; {condition})"),
            12 => format!("IN({source}), IN(({source}); {other})"),
            13 => format!("INDEX({source}; {})", self.chance.pick(&[".", ".a?", "tojson", "type", "1, 2"])),
            14 => format!("1 | limit(8; until({condition}; . + 1))"),
            15 => format!("1 | limit(8; while({condition}; . * 2))"),
            16 => format!("limit(6; recurse({}; {condition}))", self.chance.pick(&[".[]?", ". + 1?", ".a?", "empty"])),
            17 => format!("limit(4; label $in | ({source}) | if {condition} then ., break $in else . end)"),
            18 => format!("add({source}), [limit(3; range({source}; {other}))]"),
            _ => format!(
                "[{source}] | group_by({condition}), (map(select({condition})) | unique), (to_entries | from_entries)"
            ),
        };
        match self.chance.below(6) {
            0 => format!("label $out | try ({body}) catch ., \"end\""),
            1 => format!("label $out | [.[]? | 1 as $x | ({body})?]"),
            2 => format!("label $out | def f($x; g): g; f(1, 2; {body})"),
            3 => format!("label $out | path(1 as $x | {body})"),
            _ => format!("label $out | 7 as $x | {body}"),
        }
    }
}
