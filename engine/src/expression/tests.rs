//! The language as a table: program, input, outputs.

use std::borrow::Cow;

use ecow::EcoString;

use super::{Context, Expression, Limits};
use crate::time::Timestamp;
use crate::value::{ParseLimits, Value};

fn run(program: &str, input: &str) -> String {
    let variables = [EcoString::from("context")];
    let expression = match Expression::compile(program, &variables) {
        Ok(expression) => expression,
        Err(error) => return format!("syntax: {error}"),
    };
    let input = Value::parse(input.as_bytes(), &ParseLimits::default()).expect("JSON in a test");
    let limits = Limits::default();
    let give = |_: usize| Cow::Owned(Value::from("ctx"));
    let cx = Context { now: Timestamp::from_millis(1_795_000_000_000), limits: &limits, variables: &give, spent: None };
    match expression.evaluate_all(&input, &cx, 1_000) {
        Ok(outputs) => outputs.iter().map(Value::to_json).collect::<Vec<_>>().join(" "),
        Err(error) => format!("error: {}", error.message()),
    }
}

#[test]
fn programs_give_what_jq_gives() {
    let table = [
        (".", "1", "1"),
        (".a.b", "null", "null"),
        (".a[1:]", r#"{"a":[1,2,3]}"#, "[2,3]"),
        (".[-1]", "[1,2]", "2"),
        ("..", "[[1]]", "[[1]] [1] 1"),
        (".[]?", "1", ""),
        (".a", "[1]", "error: Cannot index array with string (\"a\")"),
        (". + 1.5, . - 1, . * 2, . / 4, . % 2, . < 4, . == 3", "3", "4.5 2 6 0.75 1 true true"),
        (". / 0", "3", "error: number (3) and number (0) cannot be divided because the divisor is zero"),
        (".a * 2 + .b", r#"{"a":1,"b":"x"}"#, "error: number (2) and string (\"x\") cannot be added"),
        (".a + .b + \"z\"", r#"{"a":"x","b":"y"}"#, "\"xyz\""),
        ("[0 * .]", "-5", "[-0]"),
        (". + 1", "9007199254740993", "9007199254740992"),
        (". as $x | reduce (1, 2) as $i ($x; . * $i + $x)", "3", "15"),
        ("@base64d | explode", "\"null\"", "[65533,65533]"),
        ("@base64d | explode", "\"8J+YgPCfYmI=\"", "[128512,65533,98,98]"),
        ("@base64d | explode", "\"7aCAYQ==\"", "[65533,97]"),
        ("@base64d | explode", "\"wIBh\"", "[65533,65533,97]"),
        ("test(\"(\\\\k<n>|(?<n>a))a\")", "\"aa\"", "error: Regex failure: undefined name <n> reference"),
        ("test(\"(?(<n>)a|b)(?<n>a)\")", "\"aa\"", "error: Regex failure: undefined name <n> reference"),
        ("test(\"(?<n>\\\\k<n>|a)a\")", "\"aa\"", "true"),
        ("test(\"\\\\g<n>(?<n>a)(?<n>b)\")", "\"aa\"", "error: Regex failure: multiplex definition name <n> call"),
        ("test(\"\\\\g<z>(?<!a+)\")", "\"aa\"", "error: Regex failure: undefined name <z> reference"),
        ("test(\"\\\\k<z>(*)\")", "\"aa\"", "error: Regex failure: undefined name <z> reference"),
        ("test(\"(?<=\\\\b\\\\w?)a\")", "\"aa\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(?:x\\\\b)*\\\\w?)a\")", "\"aa\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(b?))a\")", "\"aa\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(b)|x?)a\")", "\"aa\"", "true"),
        ("test(\"(?<=x?|\\\\Kx)a\")", "\"aa\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"a|( {2}a)\"; \"x\")", "\"b\"", "error: Regex failure: target of repeat operator is not specified"),
        ("test(\"{,2}a\"), test(\"{a\")", "\"{a\"", "false true"),
        ("test(\"(?<=(?:\\\\b|x?)\\\\w?)a\")", "\"aa\"", "true"),
        ("[match(\"a\\\\K\"; \"gn\") | .offset]", "\"aaxa\"", "[1,4]"),
        ("match(\"a\\\\Kb?\"; \"n\") | [.offset, .length]", "\"a ab\"", "[1,0]"),
        ("[match(\"\\\\b\\\\K\"; \"gn\")]", "\"aa\"", "[]"),
        ("match(\"(?=ab\\\\K)a\") | [.offset, .length]", "\"aaxab\"", "[4,0]"),
        ("test(\"(?<n>b\\\\g<n>{1,3}?)\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"a\\\\g<0>\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"(?<n>b(?=\\\\g<n>))\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"(?<n>b?\\\\g<n>?)\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"(?<n>\\\\g<m>\\\\g<n>?)(?<m>a?)\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"(?<n>b(?(<n>)\\\\g<n>|\\\\g<n>))\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"(?<=a+)(?<n>b\\\\g<n>)\")", "\"ab\"", "error: Regex failure: never ending recursion"),
        ("test(\"(?<n>b\\\\g<n>{0,3}?)\")", "\"ab\"", "true"),
        ("test(\"a(?<n>\\\\g<0>|b)\")", "\"ab\"", "true"),
        ("test(\"(?<n>b\\\\g<n>){0}\")", "\"ab\"", "true"),
        ("test(\"(?<n>b(?(<n>)\\\\g<n>))\")", "\"ab\"", "true"),
        ("test(\"(?<n>\\\\g<m>\\\\g<n>?)(?<m>a)\")", "\"ab\"", "false"),
        ("test(\"(?<![[:^digit:]]{2})x\"; \"i\")", "\"ab\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<!b|[\\\\D])x\"; \"i\")", "\"ab\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<![ß])x\"; \"i\")", "\"ab\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<!a?[\\\\D])x\"; \"i\")", "\"ab\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<![\\\\D]+)x\"; \"i\")", "\"ab\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(a+){0}b(?:a|bb){0})a\")", "\"aba\"", "true"),
        ("test(\"(?<!(a){0}b)a\")", "\"aba\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<!\\\\D{2})x\"; \"i\")", "\"abx\"", "false"),
        ("test(\"(?<![^ß]{2})x\"; \"i\")", "\"abx\"", "false"),
        ("test(\"(?<![à-ÿ])x\"; \"i\")", "\"abx\"", "true"),
        ("test(\"(?<![[:^digit:]]{2})x\")", "\"abx\"", "false"),
        ("test(\"(?<=\\\\1\\\\s*+)|(1\\\\z|_?)\")", "\"x\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<!(?:ab){2}x?y)z\")", "\"yz\"", "error: Regex failure: invalid pattern in look-behind"),
        (
            "test(\"(?<=a?b?c)x\"), test(\"(?<=c?(?:a?b?)d)x\"), test(\"(?<=(?:ab){0,2}ac)x\")",
            "\"acx\"",
            "true false true",
        ),
        ("test(\"(?<=(?:a?b?)c)x\")", "\"acx\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(?:ab)*d)x\")", "\"dx\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(?:a+)?ab)x\"), test(\"(?<=(?:a{2})?b)x\")", "\"aabx\"", "true true"),
        ("test(\"(?<=(?:a*){2,3}ab)x\")", "\"aabx\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=(?i:a)?b)x\")", "\"bx\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=a(?<!b))x\")", "\"ax\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<!a(?<!b))x\"), test(\"(?<!x?(?<=))x\")", "\"ax\"", "false false"),
        ("test(\"(?<=\\\\1)(a)\"; \"i\")", "\"aa\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=\\\\1{0})(a)\"; \"i\")", "\"aa\"", "true"),
        ("test(\"(?<=(b)|x?)a\\\\1?\")", "\"ba\"", "error: Regex failure: invalid pattern in look-behind"),
        ("match(\"(?<=(b)|x?)a\") | .captures[0].string", "\"ba\"", "null"),
        ("test(\"(?<=\\\\w*\\\\W)x\")", "\"-x\"", "error: Regex failure: invalid pattern in look-behind"),
        ("test(\"(?<=\\\\d*\\\\D)x\")", "\"-x\"", "true"),
        ("test(\"\\\\g<2>(a)\")", "\"a\"", "error: Regex failure: undefined group <2> reference"),
        (
            "[match(\"(?<=(a)b)\"; \"g\") | .offset, .captures[0].offset, .captures[0].string]",
            "\"ab ab\"",
            "[2,2,\"\",5,5,\"\"]",
        ),
        ("[capture(\"(?=(?<n>b))\")]", "\"ab\"", "[{\"n\":\"\"}]"),
        ("flatten(1e-400), flatten(0.5), flatten(-0)", "[1,[2,[3]]]", "[1,2,3] [1,2,3] [1,[2,[3]]]"),
        ("0 | strftime(\"%Y\\u0000%m\"), strftime(\"\\u0000%m\")", "null", "\"1970\" \"\""),
        ("strftime(\"%s %Y %y\")", "[1e10,0,1,0,0,0,0,0]", "\"67768036160140800 -2147481749 47\""),
        ("strftime(\"%s %Y %y\")", "[-1e10,0,1,0,0,0,0,0]", "\"-67768040609740800 -2147481748 52\""),
        (
            "strftime(\"%s|%m|%Y|%y|%B|%b|%a|%A|%j|%U|%H|%I|%p|%V|%G\")",
            "[2147485547,13,1,-5,0,0,50,-10]",
            "\"-1|14|-2147481749|47|?|?|?|?|-09|-7|-5|-5|AM|52|-2147481750\"",
        ),
        ("try mktime catch .", "[2147485547,12,1,0,0,0,0,0]", "\"invalid gmtime representation\""),
        ("strptime(\"%Y\\u0000%m\") | mktime", "\"2015\\u0000x\"", "1419984000"),
        ("strptime(\"%G\") | mktime", "\"1425599621\"", "-2209075200"),
        ("strptime(\"%G\")", "\" 20151\"", "error: date \" 20151\" does not match format \"%G\""),
        (
            "setpath([\"a\"]; 1), setpath([\"c\"]; 1), (.a[0] |= 5)",
            r#"{"a":[2],"b":3}"#,
            r#"{"a":1,"b":3} {"a":[2],"b":3,"c":1} {"a":[5],"b":3}"#,
        ),
        ("(.temperature - 32) * 5 / 9", r#"{"temperature":212}"#, "100"),
        ("1 / 3", "null", "0.3333333333333333"),
        ("5 % 3, -5 % 3", "null", "2 -2"),
        ("null + 1, 1 + null", "null", "1 1"),
        ("{} + 1", "null", "error: object ({}) and number (1) cannot be added"),
        ("[.[] | . * 2]", "[1,2]", "[2,4]"),
        ("{a, b: .c, \"x y\": 1, (.k): 2}", r#"{"a":1,"c":3,"k":"z"}"#, r#"{"a":1,"b":3,"x y":1,"z":2}"#),
        ("{a: (1, 2)}", "null", r#"{"a":1} {"a":2}"#),
        ("\"a\\(1 + 1)b\"", "null", "\"a2b\""),
        ("@base64 \"x\\(.)\"", "\"hi\"", "\"xaGk=\""),
        ("@csv", r#"[1,"a\"b",null]"#, r#""1,\"a\"\"b\",""#),
        ("@sh", r#"["a b",1]"#, r#""'a b' 1""#),
        (".a // \"d\"", "{}", "\"d\""),
        ("(false, null, 1) // 2", "null", "1"),
        ("if . then 1 elif 2 then 3 else 4 end", "false", "3"),
        ("if false then 1 end", "5", "5"),
        ("try error(\"x\") catch .", "null", "\"x\""),
        ("[.[] | try tonumber catch \"no\"]", r#"["1","a"]"#, "[1,\"no\"]"),
        ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
        ("[foreach .[] as $x (0; . + $x; [$x, .])]", "[1,2]", "[[1,1],[2,3]]"),
        (". as [$a, {b: $c}] | $a + $c", r#"[1,{"b":2}]"#, "3"),
        (". as [$a] ?// $a | [$a]", "[[1]]", "[[1]]"),
        ("def f(x; $y): x + $y; f(.; 2)", "1", "3"),
        ("def fac: if . < 2 then 1 else . * (. - 1 | fac) end; fac", "10", "3628800"),
        ("label $out | 1, break $out, 2", "null", "1"),
        ("[limit(3; range(10))]", "null", "[0,1,2]"),
        ("first(range(5; 10)), [range(0; 10; 4)]", "null", "5 [0,4,8]"),
        (".a = 1", "null", r#"{"a":1}"#),
        (".a.b += 1", "null", r#"{"a":{"b":1}}"#),
        (".[1:3] = [9]", "[1,2,3,4]", "[1,9,4]"),
        (".[] |= . + 1", "[1,2]", "[2,3]"),
        ("(.[] | select(. > 1)) |= empty", "[1,5,3,0]", "[1,0]"),
        ("del(.a, .b)", r#"{"a":1,"b":2,"c":3}"#, r#"{"c":3}"#),
        ("del(.[0, 2])", "[1,2,3]", "[2]"),
        (".a //= 3", r#"{"a":null}"#, r#"{"a":3}"#),
        ("to_entries", r#"{"b":1,"a":2}"#, r#"[{"key":"b","value":1},{"key":"a","value":2}]"#),
        ("with_entries(.value += 1)", r#"{"a":1}"#, r#"{"a":2}"#),
        ("keys, length", r#"{"b":1,"a":2}"#, r#"["a","b"] 2"#),
        ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
        ("sort_by(.a) | map(.a)", r#"[{"a":2},{"a":1}]"#, "[1,2]"),
        ("group_by(. % 2)", "[1,2,3]", "[[2],[1,3]]"),
        ("unique, min, max, add", "[3,1,3]", "[1,3] 1 3 7"),
        ("min_by(.a), max_by(.a)", r#"[{"a":2},{"a":1}]"#, r#"{"a":1} {"a":2}"#),
        ("any(. > 2), all(. > 0)", "[1,3]", "true true"),
        ("flatten, flatten(1)", "[1,[2,[3]]]", "[1,2,3] [1,2,[3]]"),
        ("split(\",\"), ascii_upcase", "\"a,b\"", r#"["a","b"] "A,B""#),
        ("join(\"-\")", r#"["a",1,null,true]"#, "\"a-1--true\""),
        ("test(\"a.c\"), test(\"A\"; \"i\")", "\"abc\"", "true true"),
        ("[match(\"(?<x>b)\"; \"g\").captures[0].name]", "\"abab\"", r#"["x","x"]"#),
        ("capture(\"(?<y>[0-9]+)-(?<m>[0-9]+)\")", "\"2026-11\"", r#"{"y":"2026","m":"11"}"#),
        ("gsub(\"a\"; \"b\"), sub(\"(?<c>a)\"; \"<\\(.c)>\")", "\"aXa\"", r#""bXb" "<a>Xa""#),
        ("[scan(\"[0-9]+\")], [splits(\", *\")]", "\"1, 22\"", r#"["1","22"] ["1","22"]"#),
        ("ltrimstr(\"a\"), rtrimstr(\"c\"), trim", "\"abc\"", r#""bc" "ab" "abc""#),
        ("tojson, (tojson | fromjson)", r#"{"a":[1]}"#, r#""{\"a\":[1]}" {"a":[1]}"#),
        ("todate, (todate | fromdate)", "1425599621", r#""2015-03-05T23:53:41Z" 1425599621"#),
        ("now", "null", "1795000000"),
        ("walk(if type == \"number\" then . + 1 else . end)", "[1,[2]]", "[2,[3]]"),
        ("[combinations]", "[[1,2],[3]]", "[[1,3],[2,3]]"),
        ("transpose", "[[1],[2,3]]", "[[1,2],[null,3]]"),
        ("indices(\", \"), index(\",\")", "\"a, b, c\"", "[1,4] 1"),
        ("has(\"a\"), (.a | IN(1, 2))", r#"{"a":1}"#, "true true"),
        ("[.[] | tostring]", r#"[1,"a",[2]]"#, r#"["1","a","[2]"]"#),
        ("[until(. > 100; . * 2)]", "1", "[128]"),
        ("[while(. < 10; . * 3)]", "1", "[1,3,9]"),
        ("[recurse(if . < 2 then . + 1 else empty end)]", "0", "[0,1,2]"),
        ("pick(.a.b)", r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1}}"#),
        ("[tostream]", r#"{"a":1}"#, r#"[[["a"],1],[["a"]]]"#),
        ("$context", "null", "\"ctx\""),
        ("1 as $x | 2 as $y | [$x, $y, $x + $y]", "null", "[1,2,3]"),
        (". == 1 and . != 2 or false | not", "1", "false"),
        ("[.[] < 2]", "[1,2]", "[true,false]"),
        ("{} < []", "null", "false"),
        ("-. + 1", "3", "-2"),
        ("\"ab\" * 2, ({a: {b: 1}} * {a: {c: 2}})", "null", r#""abab" {"a":{"b":1,"c":2}}"#),
        ("[splits(\"a\")] | length", "\"bab\"", "2"),
        ("getpath([\"a\", 0])", r#"{"a":[7]}"#, "7"),
        ("[.[] as {a: $x} | $x]", r#"[{"a":1},{"a":2}]"#, "[1,2]"),
        ("limit(1; error)", "\"e\"", "error: e"),
        ("@json, @html, @uri", "\"<&>\"", r#""\"<&>\"" "&lt;&amp;&gt;" "%3C%26%3E""#),
    ];
    let mut wrong = Vec::new();
    for (program, input, expected) in table {
        let got = run(program, input);
        if got != expected {
            wrong.push(format!("{program}   on {input}: {got}   instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn syntax_errors_name_the_place_and_the_cure() {
    let error = |program: &str| Expression::compile(program, &["context".into()]).expect_err("a syntax error");
    assert_eq!(error(".a | ]").offset, 5);
    assert_eq!(error("$contxt").message, "`$contxt` is not defined: here are $context");
    assert!(error("env.HOME").message.contains("not to be had"));
    assert!(error("$ENV.HOME").message.contains("not to be had"));
    assert!(error("halt").message.contains("not to be had"));
    assert_eq!(error("foo(1)").offset, 0);
    assert!(error(&"(".repeat(10_000)).message.contains("too deep"));
}

#[test]
fn hostile_programs_are_stopped() {
    for program in [
        "def f: f; f",
        "def f: [f]; f",
        "[range(1e12)]",
        "[repeat(1)]",
        "reduce range(100) as $i (\"x\"; . + .)",
        "reduce range(100) as $i ([0]; [., .]) | tojson",
        "reduce range(64) as $i ([1]; . + .) | sort",
        "[range(30) | [0, 1]] | [combinations] | length",
        "\"a\" * 1e12",
        "last(range(1e15))",
        ".[1e9] = 1",
        r#"reduce range(2; 60) as $i (""; . + "(\\g<\($i)>\\g<\($i)>)") + "(a)(?<=\\g<1>)b" | . as $calls | "ab" | test($calls)"#,
    ] {
        let answer = run(program, "null");
        assert!(answer.starts_with("error: "), "{program}: {}", &answer[..answer.len().min(80)]);
    }
}
