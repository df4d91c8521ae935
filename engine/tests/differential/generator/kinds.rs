//! Filters that mostly give a value of one kind, so that what is built on them does not end in an error at once.

use super::Generator;

impl Generator {
    /// A filter that mostly gives numbers.
    pub(super) fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .chance
                .pick(&[
                    "1",
                    "2",
                    "(.a? | numbers) // 3",
                    "length? // 0",
                    "(.temperature? // 20.5)",
                    "3.25",
                    "-7",
                    "([.[]?|numbers]|add // 1)",
                    "0.1",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.chance.below(9) {
            0..=2 => {
                format!("(({}) {} ({}))", self.number(d), self.chance.pick(&["+", "-", "*", "/", "%"]), self.number(d))
            }
            3 => format!(
                "(({}) | {})",
                self.number(d),
                self.chance.pick(&["floor", "ceil", "round", "fabs", "sqrt", "-.", "abs", "trunc", ". * 2"])
            ),
            4 => format!("(({}) | length)", self.list(d)),
            5 => format!("(({}) | length)", self.text(d)),
            6 => format!("(({}) | add // 0)", self.list(d)),
            7 => format!(
                "(if ({}) {} ({}) then ({}) else ({}) end)",
                self.number(d),
                self.chance.pick(&["<", ">", "==", "!=", ">="]),
                self.number(d),
                self.number(d),
                self.number(d)
            ),
            _ => format!("(reduce ({})[] as $n (0; . + ($n | numbers // 1)))", self.list(d)),
        }
    }

    /// A filter that mostly gives texts.
    pub(super) fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .chance
                .pick(&[
                    "\"x\"",
                    "tostring",
                    "(.b? | strings) // \"ab\"",
                    "\"Hello, World\"",
                    "type",
                    "(.deviceId? // \"d\")",
                    "\"ä ö,ü\"",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.chance.below(9) {
            0 => format!("(({}) + ({}))", self.text(d), self.text(d)),
            1 => format!("\"<\\({}) \\({})>\"", self.text(d), self.number(d)),
            2 => format!(
                "(({}) | {})",
                self.text(d),
                self.chance.pick(&[
                    "ascii_downcase",
                    "ascii_upcase",
                    "@base64",
                    "@uri",
                    "@json",
                    "@html",
                    "@sh",
                    "trim",
                    "ltrimstr(\"x\")",
                    ".[1:]",
                    ".[:-1]",
                    "tojson"
                ])
            ),
            3 => format!("(({}) | map(tostring) | join(\"{}\"))", self.list(d), self.chance.pick(&[",", "", "-é"])),
            4 => format!(
                "(({}) | gsub(\"{}\"; \"{}\"))",
                self.text(d),
                self.chance.pick(&["a", "[aeiou]", "\\\\s+", "(?<c>l)"]),
                self.chance.pick(&["_", "", "\\(.c? // 1)"])
            ),
            5 => format!("(({}) | tojson)", self.object(d)),
            6 => format!("(({}) * 2)", self.text(d)),
            7 => format!(
                "(({}) | [match(\"{}\"; \"g\").string] | join(\"|\"))",
                self.text(d),
                self.chance.pick(&["[a-z]+", "\\\\d", "(?<=o)."])
            ),
            _ => format!("(({}) | explode | reverse | implode)", self.text(d)),
        }
    }

    /// A filter that mostly gives arrays.
    pub(super) fn list(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .chance
                .pick(&[
                    "[.[]?]",
                    "[1,2,3]",
                    "[]",
                    "[range(4)]",
                    "(arrays // [\"a\",\"b\"])",
                    "[..]",
                    "([paths])",
                    "[.a?, .b?]",
                ])
                .to_owned();
        }
        let d = depth - 1;
        match self.chance.below(12) {
            0 => format!("[{}, {}]", self.number(d), self.text(d)),
            1 => format!("(({}) | map({}))", self.list(d), self.number(d)),
            2 => format!(
                "(({}) | map(select({})))",
                self.list(d),
                self.chance.pick(&[
                    "type == \"number\"",
                    ". != null",
                    "(. | tostring | length) > 1",
                    ".a?",
                    "numbers > 1"
                ])
            ),
            3 => format!(
                "(({}) | {})",
                self.list(d),
                self.chance.pick(&[
                    "sort",
                    "unique",
                    "reverse",
                    "flatten",
                    "group_by(type)",
                    "sort_by(tostring)",
                    "unique_by(length?)",
                    ".[1:]",
                    "[limit(2; .[])]",
                    "to_entries",
                    "map([.])",
                    "min_by(tostring)|[.]",
                    "[first(.[])]",
                    "[paths]",
                    "[tostream]",
                    "transpose? // [1]"
                ])
            ),
            4 => format!("(({}) + ({}))", self.list(d), self.list(d)),
            5 => format!("(({}) - ({}))", self.list(d), self.list(d)),
            6 => format!("(({}) | to_entries)", self.object(d)),
            7 => format!("(({}) | split(\"{}\"))", self.text(d), self.chance.pick(&["", ",", " ", "l"])),
            8 => format!(
                "(({}) | .[{}:{}] = {})",
                self.list(d),
                self.chance.below(3),
                self.chance.below(4),
                self.list(d)
            ),
            9 => format!(
                "(({}) | .[] |= {})",
                self.list(d),
                self.chance.pick(&["tostring", "empty", "[.]", "(. , 1)", "(numbers|.+1)", "select(. != 1)"])
            ),
            10 => format!("[foreach ({})[] as $e ({}; {}; [$e, .])]", self.list(d), self.number(d), self.number(d)),
            _ => {
                format!("(({}) | del(.[{}]))", self.list(d), self.chance.pick(&["0", "-1", "0,1", "1:", "5", "0:1,2"]))
            }
        }
    }

    /// A filter that mostly gives objects.
    pub(super) fn object(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self
                .chance
                .pick(&["{a: 1}", "(objects // {b: [1]})", "{}", "{a: .a?, \"b c\": 2}", "{x: {y: 1}}"])
                .to_owned();
        }
        let d = depth - 1;
        match self.chance.below(9) {
            0 => format!("{{a: {}, b: {}}}", self.number(d), self.text(d)),
            1 => format!("(({}) + ({}))", self.object(d), self.object(d)),
            2 => format!("(({}) * ({}))", self.object(d), self.object(d)),
            3 => format!(
                "(({}) | with_entries({}))",
                self.object(d),
                self.chance.pick(&[".value |= tostring", ".key += \"_\"", "select(.value != null)", ".value = 1"])
            ),
            4 => format!("(({}) | .a = {})", self.object(d), self.list(d)),
            5 => format!(
                "(({}) | {})",
                self.object(d),
                self.chance.pick(&[
                    "del(.a)",
                    ".x.y.z = 1",
                    ".n += 1",
                    ".a //= 5",
                    "map_values(.)",
                    ".b |= [.]",
                    "pick(.a)",
                    "map_values(empty)",
                    "del(.a, .b)",
                    ".[\"a b\"] = null",
                    "walk(.)",
                    "(.a, .x) = 7",
                    "paths(type == \"number\") as $p | setpath($p; 0)"
                ])
            ),
            6 => format!("{{(({}) | tostring): {}}}", self.text(d), self.number(d)),
            7 => format!("(({}) | map({{key: tostring, value: .}}) | from_entries)", self.list(d)),
            _ => format!("(({}) as $o | {{$o, k: ($o | keys)}})", self.object(d)),
        }
    }
}
