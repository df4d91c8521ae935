//! What may stand behind: a look-behind matches a fixed number of characters, and only some things are allowed in it. jq
//! refuses all others, so a pattern that works here works there.

use super::parse::{Assert, Greed, Node, Parsed};
use super::program::width;

/// Refuses look-behinds that are not of one length.
pub fn check(parsed: &Parsed) -> Result<(), String> {
    each(parsed, &parsed.root)
}

fn each(parsed: &Parsed, node: &Node) -> Result<(), String> {
    if let Node::Look(inside, look) = node
        && look.behind
        && !(allowed(inside, look.negative) && is_fixed(parsed, inside))
    {
        return Err("invalid pattern in look-behind".to_owned());
    }
    children(node).into_iter().try_for_each(|child| each(parsed, child))
}

fn children(node: &Node) -> Vec<&Node> {
    match node {
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().collect(),
        Node::Repeat(inside, ..) | Node::Capture(_, inside) | Node::Look(inside, _) | Node::Atomic(inside) => {
            vec![&**inside]
        }
        Node::If(_, yes, no) => vec![&**yes, &**no],
        Node::Empty
        | Node::Char(..)
        | Node::Any(_)
        | Node::Class(_)
        | Node::Assert(_)
        | Node::Back(..)
        | Node::Call(_)
        | Node::Keep
        | Node::Cluster
        | Node::LineEnd => Vec::new(),
    }
}

fn allowed(node: &Node, negative: bool) -> bool {
    let own = match node {
        Node::Assert(assert) => !matches!(assert, Assert::TextEnd | Assert::LastLineEnd),
        Node::Look(_, look) => look.behind,
        Node::Capture(..) => !negative,
        Node::Cluster => false,
        _ => true,
    };
    own && children(node).into_iter().all(|child| allowed(child, negative))
}

/// Whether it has one length. What may be empty needs none: it holds everywhere. A repetition of one character that is all of a
/// branch counts with its fewest, for more of them change nothing.
fn is_fixed(parsed: &Parsed, inside: &Node) -> bool {
    let branches = match inside {
        Node::Alternate(branches) => &branches[..],
        one => std::slice::from_ref(one),
    };
    let widths = branches.iter().map(|branch| match branch {
        Node::Repeat(one, min, _, greed)
            if *greed != Greed::Possessive
                && matches!(**one, Node::Char(..) | Node::Any(_) | Node::Class(_) | Node::Back(..)) =>
        {
            (*min, Some(*min))
        }
        Node::Back(numbers, _) => referred(parsed, numbers),
        Node::Call(number) => referred(parsed, &[*number]),
        other => width(other),
    });
    let min = widths.clone().map(|(min, _)| min).min().unwrap_or(0);
    min == 0 || widths.into_iter().all(|(_, max)| max == Some(min))
}

/// The width of the groups that a reference means.
fn referred(parsed: &Parsed, numbers: &[usize]) -> (u32, Option<u32>) {
    let group = |number: &usize| parsed.groups.get(number.wrapping_sub(1)).and_then(Option::as_ref);
    let widths = numbers.iter().filter_map(group).map(width);
    widths.reduce(|(a, b), (c, d)| (a.min(c), b.zip(d).map(|(b, d)| b.max(d)))).unwrap_or((0, None))
}
