//! What an expression looks at, for who makes its input: what it does not need, nobody has to make.

use ecow::EcoString;

use super::{Fast, Kind, Node, Part};
use crate::value::Value;

/// Members of its input that an expression looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Any, or the input as a whole.
    All,
    /// No others than these.
    Members(Vec<EcoString>),
}

impl Reads {
    /// Whether it may look at this member.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Reads::All => true,
            Reads::Members(members) => members.iter().any(|member| member == name),
        }
    }
}

impl Fast {
    pub fn reads(&self) -> Reads {
        let mut members = Vec::new();
        match self.node.read(&mut members) {
            Some(()) => Reads::Members(members),
            None => Reads::All,
        }
    }
}

impl Node {
    /// Adds the members of the input that it looks at; `None` where that can't be told.
    fn read(&self, members: &mut Vec<EcoString>) -> Option<()> {
        let mut all = |nodes: &[&Node]| nodes.iter().try_for_each(|node| node.read(members));
        match &self.kind {
            Kind::Constant(_) | Kind::Argument(_) | Kind::Local(_) | Kind::Empty => Some(()),
            Kind::Path(base, keys) => match (&base.kind, keys.first()) {
                (Kind::Input, Some(Value::String(key))) => {
                    members.push(key.clone());
                    Some(())
                }
                _ => base.read(members),
            },
            // What comes behind sees the output of what comes before.
            Kind::Pipe(node, _)
            | Kind::Each(node, _)
            | Kind::Collect(node)
            | Kind::First(node)
            | Kind::IsEmpty(node)
            | Kind::Try(node, _) => node.read(members),
            Kind::Index(a, b)
            | Kind::IndexOptional(a, b)
            | Kind::Operator(_, a, b)
            | Kind::And(a, b)
            | Kind::Or(a, b)
            | Kind::Alternative(a, b)
            | Kind::Bind(_, a, b)
            | Kind::Range(a, b) => all(&[a, b]),
            Kind::If(condition, then, otherwise) => all(&[condition, then, otherwise]),
            Kind::Comma(nodes) | Kind::List(nodes) => nodes.iter().try_for_each(|node| node.read(members)),
            Kind::Record(nodes) => nodes.iter().try_for_each(|(_, node)| node.read(members)),
            Kind::Object(nodes) => nodes.iter().try_for_each(|(key, value)| {
                key.read(members)?;
                value.read(members)
            }),
            Kind::Text(parts) => parts.iter().try_for_each(|part| match part {
                Part::Plain(_) => Some(()),
                Part::Filter(node, _) => node.read(members),
            }),
            Kind::Input
            | Kind::Native(..)
            | Kind::Reduce(..)
            | Kind::Set(..)
            | Kind::Update(..)
            | Kind::Modify(..)
            | Kind::Delete(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reads;
    use crate::expression::Expression;

    fn reads(source: &str) -> Option<String> {
        match Expression::compile(source, &[]).expect("an expression").reads() {
            Reads::All => None,
            Reads::Members(members) => Some(members.join(" ")),
        }
    }

    #[test]
    fn members_that_an_expression_looks_at_are_told() {
        assert_eq!(reads(r#".topic | split("/")[1]"#).as_deref(), Some("topic"));
        assert_eq!(reads(r#""\(.key)-\(.payload.id // .offset)""#).as_deref(), Some("key payload offset"));
        assert_eq!(reads("if .retain then .a else [.b[]] end").as_deref(), Some("retain a b"));
        assert_eq!(reads(".a as $x | .b + $x").as_deref(), Some("a b"));
        assert_eq!(reads("1 + 1").as_deref(), Some(""));
    }

    #[test]
    fn where_the_whole_input_counts_everything_does() {
        for source in [".", "keys", "length", ". as $all | $all.a", "[.]", ".[.key]", "del(.a)", "tojson", ".a, ."] {
            assert_eq!(reads(source), None, "{source}");
        }
    }
}
