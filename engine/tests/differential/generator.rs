//! Programs by chance: by a grammar of the language, so that most of them do something on some input.

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

const LITERALS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2",
    "3.5",
    "10",
    "1e3",
    "100",
    "1.50",
    "0.1",
    "\"\"",
    "\"a\"",
    "\"b\"",
    "\"x\"",
    "\"a,b\"",
    "\"é😀\"",
    "[]",
    "{}",
    "[1,2]",
    "[[1],2]",
    "{\"a\":1}",
    "{\"a\":{\"b\":2}}",
    "[null]",
    "nan",
    "infinite",
    "\"1.0\"",
    "\"ab\"",
];

const STEPS: &[&str] = &[
    ".",
    ".a",
    ".b",
    ".c",
    ".k",
    ".v",
    ".a.b",
    ".b.c",
    ".[0]",
    ".[1]",
    ".[-1]",
    ".[1:]",
    ".[:1]",
    ".[-2:]",
    ".[0:2]",
    ".[]",
    ".[]?",
    ".a?",
    ".[0]?",
    ".[\"a\"]",
    ".[\"b\"]?",
    ".[1:2]?",
    "..",
    ".[2:1]",
    ".[0.7]",
    ".[null]?",
    ".[5]",
];

const PATHS: &[&str] = &[
    ".",
    ".a",
    ".b",
    ".a.b",
    ".[0]",
    ".[1]",
    ".[-1]",
    ".[]",
    ".[]?",
    ".a[]?",
    "..",
    ".[1:]",
    ".[:2]",
    ".a?",
    ".[0,1]",
    ".a,.b",
    ".v[]?.a",
    ".[]?|select(.)",
    "first(.[]?)",
    "last(.[]?)",
    "limit(1; .[]?)",
    "getpath([\"a\"])?",
    "getpath([0])?",
    ".[]?|.a?",
    "recurse(.[]?)",
    "if .a? then .a else .b? end",
    ".a // .b",
    "(.a,.b)?",
    "select(.a?)",
    ".[2:4]",
    "to_entries?",
    "paths",
    "empty",
    ".[3]",
    ".[-7]",
    "..|select(type==\"number\")",
    "..|numbers",
    ".[]?|arrays",
    ". as $x|$x",
    ".a as $x|.b?",
    "reduce 1 as $x (.;.)",
    ".[1:][0]",
];

const UNARY: &[&str] = &[
    "length",
    "keys",
    "keys_unsorted",
    "type",
    "not",
    "tostring",
    "tojson",
    "tonumber",
    "add",
    "any",
    "all",
    "sort",
    "unique",
    "min",
    "max",
    "reverse",
    "flatten",
    "floor",
    "ceil",
    "round",
    "sqrt",
    "fabs",
    "abs",
    "trunc",
    "to_entries",
    "from_entries",
    "explode",
    "implode",
    "ascii_downcase",
    "ascii_upcase",
    "trim",
    "ltrim",
    "rtrim",
    "utf8bytelength",
    "transpose",
    "first",
    "last",
    "tostream",
    "fromjson",
    "isnan",
    "isinfinite",
    "isnormal",
    "values",
    "nulls",
    "scalars",
    "iterables",
    "strings",
    "numbers",
    "arrays",
    "objects",
    "booleans",
    "paths",
    "combinations",
    "gmtime",
    "todate",
    "mktime",
    "fromdate",
    "@text",
    "@json",
    "@csv",
    "@tsv",
    "@html",
    "@uri",
    "@urid",
    "@sh",
    "@base64",
    "@base64d",
    "toboolean",
    "significand",
    "logb",
    "frexp",
    "modf",
    "trunc",
    "isvalid_",
    "infinite",
    "nan",
    "error",
    "empty",
    "recurse",
    "leaf",
    "have_decnum",
    "debug",
    "isfinite",
    "finites",
    "normals",
    "halt_",
    "exp2",
    "-.",
    "@foo",
    "min_by(.)",
    "tojson|fromjson",
];

const REGEXES: &[&str] = &[
    "a",
    "[a-z]",
    "\\\\d+",
    "(?<x>[a-z])",
    ",\\\\s*",
    "(a)|(b)",
    "^",
    "$",
    "",
    ".",
    "(?=a)",
    "x*",
    "[^,]+",
    "(?<y>\\\\w)(?<z>\\\\w)?",
    "\\\\bb",
    "A",
];

const FLAGS: &[&str] = &["null", "\"g\"", "\"i\"", "\"x\"", "\"gi\"", "\"s\"", "\"n\"", "\"gx\"", "\"\""];

const FORMS: &[&str] =
    &["%Y-%m-%dT%H:%M:%SZ", "%A, %B %d, %Y", "%j %U %w", "%H:%M", "%e %I %p", "%s", "%D %T", "%G-W%V-%u", "%c"];

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
        match self.chance.below(4) {
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

    /// A filter that mostly gives numbers.
    fn number(&mut self, depth: usize) -> String {
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
    fn text(&mut self, depth: usize) -> String {
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
    fn list(&mut self, depth: usize) -> String {
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
    fn object(&mut self, depth: usize) -> String {
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
    fn with_variable(&mut self, depth: usize, build: impl FnOnce(&mut Self, &str) -> String) -> String {
        let name = self.name();
        self.variables.push(name.clone());
        let built = build(self, &name);
        self.variables.pop();
        let _ = depth;
        built
    }

    fn filter(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.leaf();
        }
        let d = depth;
        match self.chance.below(46) {
            0..=3 => format!("{} | {}", self.inner(d), self.inner(d)),
            4 => format!("{}, {}", self.inner(d), self.inner(d)),
            5..=8 => {
                let operator = self.chance.pick(&["+", "-", "*", "/", "%", "+", "-", "=="]);
                format!("{} {operator} {}", self.inner(d), self.inner(d))
            }
            9 | 10 => {
                let operator = self.chance.pick(&["==", "!=", "<", "<=", ">", ">=", "and", "or", "//"]);
                format!("{} {operator} {}", self.inner(d), self.inner(d))
            }
            11 => format!("[{}]", self.filter(d - 1)),
            12 => format!(
                "{{a: {}, {}: {}}}",
                self.inner(d),
                self.chance.pick(&["b", "\"c d\"", "(.k?)", "\"x\\(.a?)\"", "@base64 \"y\""]),
                self.inner(d)
            ),
            13 => format!("if {} then {} else {} end", self.filter(d - 1), self.filter(d - 1), self.filter(d - 1)),
            14 => format!("if {} then {} end", self.filter(d - 1), self.filter(d - 1)),
            15 => format!("try {} catch {}", self.inner(d), self.inner(d)),
            16 => format!("{}?", self.inner(d)),
            17 => format!("\"a\\({})b\\({})\"", self.filter(d - 1), self.filter(d - 1)),
            18 => format!(
                "{} \"<\\({})>\"",
                self.chance.pick(&["@json", "@uri", "@html", "@sh", "@base64", "@csv", "@text"]),
                self.filter(d - 1)
            ),
            19 | 20 => {
                let source = self.inner(d);
                self.with_variable(d, |g, name| format!("{source} as ${name} | {}", g.filter(d - 1)))
            }
            21 => self.destructured(d),
            22 => {
                let (source, init) = (self.inner(d), self.filter(d - 1));
                self.with_variable(d, |g, name| format!("reduce {source} as ${name} ({init}; {})", g.filter(d - 1)))
            }
            23 => {
                let (source, init) = (self.inner(d), self.filter(d - 1));
                self.with_variable(d, |g, name| {
                    let update = g.filter(d - 1);
                    let extract = if g.chance.below(2) == 0 { String::new() } else { format!("; {}", g.filter(d - 1)) };
                    format!("foreach {source} as ${name} ({init}; {update}{extract})")
                })
            }
            24 => self.labelled(d),
            25 | 26 => self.defined(d),
            27 => self.assigned(d),
            28 => self.assigned(d),
            29 => format!(
                "[{}({})]",
                self.chance.pick(&["path", "path", "paths", "del", "pick", "to_entries|map"]),
                self.path()
            ),
            30 => format!("{}({})", self.chance.pick(&["del", "pick", "delpaths([paths])?, del", "path"]), self.path()),
            31 => format!(
                "{}({})",
                self.chance
                    .pick(&[
                        "map",
                        "map_values",
                        "select",
                        "with_entries",
                        "walk",
                        "recurse_",
                        "first",
                        "last",
                        "isempty",
                        "any",
                        "all",
                        "add",
                        "paths"
                    ])
                    .replace("recurse_", "map"),
                self.filter(d - 1)
            ),
            32 => format!(
                "{}({})",
                self.chance.pick(&[
                    "sort_by",
                    "group_by",
                    "unique_by",
                    "min_by",
                    "max_by",
                    "INDEX",
                    "IN",
                    "error",
                    "debug",
                    "in",
                    "inside"
                ]),
                self.filter(d - 1)
            ),
            33 => format!(
                "{}({}; {})",
                self.chance.pick(&["limit", "skip", "nth", "any", "all", "IN", "range", "limit", "INDEX"]),
                self.chance.pick(&["0", "1", "2", "3", ".[]?", ".a?", "1,2"]),
                self.filter(d - 1)
            ),
            34 => format!(
                "[limit(5; range({}; {}; {}))]",
                self.leaf(),
                self.leaf(),
                self.chance.pick(&["1", "2", "-1", "0", ".a?", "0.5"])
            ),
            35 => self.regex(),
            36 => format!(
                "{}({})",
                self.chance
                    .pick(&[
                        "has",
                        "contains",
                        "inside",
                        "startswith",
                        "endswith",
                        "ltrimstr",
                        "rtrimstr",
                        "trimstr",
                        "split",
                        "join",
                        "index",
                        "rindex",
                        "indices",
                        "flatten",
                        "bsearch",
                        "getpath",
                        "delpaths",
                        "test_"
                    ])
                    .replace("test_", "has"),
                self.filter(d - 1)
            ),
            37 => format!(
                "setpath({}; {})",
                self.chance.pick(&[
                    "[\"a\"]",
                    "[0]",
                    "[\"a\",\"b\"]",
                    "[]",
                    "[-1]",
                    "[0,\"a\"]",
                    "[{\"start\":0,\"end\":1}]",
                    "paths",
                    "1"
                ]),
                self.filter(d - 1)
            ),
            38 => format!(
                "getpath({})",
                self.chance.pick(&[
                    "[\"a\"]",
                    "[0]",
                    "[\"a\",\"b\"]",
                    "[]",
                    "[\"b\",\"c\",0]",
                    "[[1]]",
                    "\"a\"",
                    "paths"
                ])
            ),
            39 => format!("[limit(6; {})]", self.bounded(d)),
            40 => format!(
                "{} | {}",
                self.inner(d),
                self.chance.pick(UNARY).replace("isvalid_", "not").replace("leaf", "type").replace("halt_", "length")
            ),
            41 => format!("-{}", self.inner(d)),
            42 => format!("{}[{}]", self.inner(d), self.filter(d - 1)),
            43 => format!("{}[{}:{}]", self.inner(d), self.leaf(), self.leaf()),
            44 => self.dated(),
            _ => self.streamed(d),
        }
    }

    fn bounded(&mut self, d: usize) -> String {
        let step = self.filter(d - 1);
        match self.chance.below(5) {
            0 => format!("repeat({step})"),
            1 => format!("recurse({step})"),
            2 => format!("while({}; {step})", self.filter(d - 1)),
            3 => format!("recurse({step}; {})", self.filter(d - 1)),
            _ => format!("range(10) | {step}"),
        }
    }

    fn destructured(&mut self, d: usize) -> String {
        let source = self.inner(d);
        let (a, b) = (self.name(), self.name());
        let pattern = match self.chance.below(7) {
            0 => format!("[${a}, ${b}]"),
            1 => format!("{{a: ${a}, ${b}}}"),
            2 => format!("[${a}, [${b}]]"),
            3 => format!("{{${a}, b: [${b}]}}"),
            4 => format!("{{(\"a\", \"b\"): ${a}, \"k\": ${b}}}"),
            5 => format!("[${a}] ?// {{a: ${b}}}"),
            _ => format!("[${a}, ${b}] ?// {{a: ${a}, ${b}}} ?// ${a}"),
        };
        self.variables.extend([a, b]);
        let body = self.filter(d - 1);
        self.variables.truncate(self.variables.len() - 2);
        format!("{source} as {pattern} | {body}")
    }

    fn labelled(&mut self, d: usize) -> String {
        let label = self.name();
        self.labels.push(label.clone());
        let body = self.filter(d - 1);
        let then = if self.chance.below(3) == 0 { self.filter(d - 1) } else { format!("., break ${label}") };
        self.labels.pop();
        format!("label ${label} | {body} | {then}")
    }

    fn defined(&mut self, d: usize) -> String {
        let name = self.name().replace('x', "f");
        let arity = self.chance.below(3);
        let parameters = ["; p", "; $q"];
        let head = match arity {
            0 => String::new(),
            1 => "(p)".to_owned(),
            _ => format!("(p{})", parameters[self.chance.below(2)].replace("; p", "; $p2")),
        };
        let body = match self.chance.below(3) {
            0 if arity > 0 => format!("p | {}", self.filter(d - 1)),
            1 if arity > 0 => format!("[p, {}] | p", self.filter(d - 1)),
            _ => self.filter(d - 1),
        };
        self.functions.push((name.clone(), arity));
        let arguments: Vec<String> = (0..arity).map(|_| self.filter(d - 1)).collect();
        let call = if arity == 0 { name.clone() } else { format!("{name}({})", arguments.join("; ")) };
        let rest = if self.chance.below(2) == 0 { call.clone() } else { format!("{} | {call}", self.inner(d)) };
        self.functions.pop();
        format!("def {name}{head}: {body}; {rest}")
    }

    fn assigned(&mut self, d: usize) -> String {
        let operator = self.chance.pick(&["=", "|=", "+=", "-=", "*=", "/=", "%=", "//=", "|=", "="]);
        let path = self.path();
        format!("({path}) {operator} {}", self.inner(d))
    }

    fn regex(&mut self) -> String {
        let pattern = self.chance.pick(REGEXES);
        let flags = self.chance.pick(FLAGS);
        let tail = self.chance.below(9);
        let subject =
            self.chance.pick(&[".", "tostring", "(.b? // \"a,b\")", "\"aXbb, cab\"", "\"Grüße a b\"", "\"\""]);
        let call = match tail {
            0 => format!("test(\"{pattern}\"; {flags})"),
            1 => format!("[match(\"{pattern}\"; {flags})]"),
            2 => format!("[capture(\"{pattern}\"; {flags})]"),
            3 => format!("[scan(\"{pattern}\"; {flags})]"),
            4 => format!("split(\"{pattern}\"; {flags})"),
            5 => format!("[splits(\"{pattern}\")]"),
            6 => format!("sub(\"{pattern}\"; \"<\\(.x? // \"-\")>\", \"+\"; {flags})"),
            7 => format!("gsub(\"{pattern}\"; \"[\\(.x?)]\")"),
            _ => format!("[match([\"{pattern}\", {flags}]) | .offset, .length]"),
        };
        format!("{subject} | {call}")
    }

    fn dated(&mut self) -> String {
        let form = self.chance.pick(FORMS);
        match self.chance.below(4) {
            0 => format!(
                "{} | strftime(\"{form}\")",
                self.chance.pick(&[".", "0", "1425599621", "-86400", "1e10", "951782400.7", "[2024,1,29,0,0,0]"])
            ),
            1 => format!(
                "{} | gmtime | {}",
                self.chance.pick(&["1425599621.25", ".", "-1.5", "4102444800"]),
                self.chance.pick(&["mktime", "todate", ".", ".[5]"])
            ),
            2 => format!(
                "\"2024-02-29T12:30:45Z\" | {}",
                self.chance.pick(&[
                    "fromdate",
                    "strptime(\"%Y-%m-%dT%H:%M:%SZ\")",
                    "strptime(\"%Y-%m-%dT%H:%M:%SZ\")|mktime",
                    "fromdateiso8601 | todate"
                ])
            ),
            _ => format!(
                "{} | strptime(\"{}\")",
                self.chance.pick(&["\"10:20\"", "\"Thu, 05 Mar 2015\"", "\"2015-03-05\"", "."]),
                self.chance.pick(&["%H:%M", "%a, %d %b %Y", "%Y-%m-%d"])
            ),
        }
    }

    fn streamed(&mut self, d: usize) -> String {
        match self.chance.below(6) {
            0 => "[tostream]".to_owned(),
            1 => "fromstream(tostream)".to_owned(),
            2 => format!("[{} | truncate_stream(1; tostream)]", self.chance.pick(&["1", "0", "2"]))
                .replace("truncate_stream(1; tostream)", "truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]])"),
            3 => format!("[paths({})]", self.filter(d - 1)),
            4 => format!("[.[]? | splits(\", *\")?]"),
            _ => format!("input_{}", 0).replace("input_0", "[..]"),
        }
    }
}
