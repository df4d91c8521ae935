//! Any filter of the language.

use super::Generator;
use super::words::UNARY;

impl Generator {
    pub(super) fn filter(&mut self, depth: usize) -> String {
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
                self.with_variable(|g, name| format!("{source} as ${name} | {}", g.filter(d - 1)))
            }
            21 => self.destructured(d),
            22 => {
                let (source, init) = (self.inner(d), self.filter(d - 1));
                self.with_variable(|g, name| format!("reduce {source} as ${name} ({init}; {})", g.filter(d - 1)))
            }
            23 => {
                let (source, init) = (self.inner(d), self.filter(d - 1));
                self.with_variable(|g, name| {
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
            35 => self.matched(),
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
            44 => self.dates(),
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

    fn streamed(&mut self, d: usize) -> String {
        match self.chance.below(6) {
            0 => "[tostream]".to_owned(),
            1 => "fromstream(tostream)".to_owned(),
            2 => format!("[{} | truncate_stream(1; tostream)]", self.chance.pick(&["1", "0", "2"]))
                .replace("truncate_stream(1; tostream)", "truncate_stream([[0],1],[[1,0],2],[[1,0]],[[1]])"),
            3 => format!("[paths({})]", self.filter(d - 1)),
            4 => "[.[]? | splits(\", *\")?]".to_owned(),
            _ => format!("input_{}", 0).replace("input_0", "[..]"),
        }
    }
}
