//! What Oniguruma makes of repetitions within a look-behind: those at the start of a branch are shortened, unless it took more of
//! them for good before.

use crate::expression::regex::class::{self, Class};
use crate::expression::regex::parse::{Greed, Node};
use crate::expression::regex::program::fold;

/// The bytes up to which a text that is repeated a fixed number of times is written out.
const WRITTEN_OUT_MAX: usize = 100;

/// The nodes of a sequence, also those of sequences in it, but for one at the start. A sequence of one is a group with options.
pub(super) fn pieces(node: &Node) -> Vec<&Node> {
    match node {
        Node::Concat(nodes) if nodes.len() > 1 => {
            std::iter::once(&nodes[0]).chain(nodes[1..].iter().flat_map(pieces)).collect()
        }
        one => vec![one],
    }
}

/// Whether a repetition at the start of a look counts with its fewest. Not where more are taken for good, which Oniguruma does by
/// itself before something that the repeated one is not.
pub(super) fn is_reduced(one: &Node, (least, most): (u32, Option<u32>), greed: Greed, behind: &[&Node]) -> bool {
    let simple = match one {
        Node::Any(_) | Node::Back { .. } | Node::Empty | Node::Char(..) => true,
        Node::Class(class) => !class.holds_several,
        Node::Repeat(inside, least, most, _) => {
            let bytes = text(&pieces(inside)).len() * *least as usize;
            *least > 1 && *most == Some(*least) && bytes <= WRITTEN_OUT_MAX && is_text(inside)
        }
        one => is_text(one),
    };
    let for_good = greed == Greed::Greedy && most.is_none() && least <= 1;
    simple && greed != Greed::Possessive && !(for_good && are_exclusive(one, behind))
}

/// Whether a node is a text.
fn is_text(node: &Node) -> bool {
    match node {
        Node::Concat(nodes) => nodes.len() > 1 && nodes.iter().all(|node| plain(node).is_some()),
        one => plain(one).is_some(),
    }
}

/// A character that stands for itself only.
fn plain(node: &Node) -> Option<char> {
    match node {
        Node::Char(c, folded) if !(*folded && c.is_alphabetic()) => Some(*c),
        _ => None,
    }
}

/// The text that a sequence begins with.
fn text(nodes: &[&Node]) -> String {
    nodes.iter().map_while(|node| plain(node)).collect()
}

/// What something begins with.
enum Head {
    Text(String),
    Class(Class),
}

fn head(nodes: &[&Node]) -> Option<Head> {
    Some(match nodes.first()? {
        Node::Char(c, true) if c.is_alphabetic() => {
            let mut both = Class::default();
            both.add(fold(*c), fold(*c));
            c.to_uppercase().for_each(|upper| both.add(upper, upper));
            both.sort();
            Head::Class(both)
        }
        Node::Char(..) => Head::Text(text(nodes)),
        Node::Class(class) if !class.holds_several => Head::Class(class.clone()),
        Node::LineEnd => Head::Text("\r\n".to_owned()),
        Node::Concat(inside) => return head(&inside.iter().flat_map(pieces).collect::<Vec<_>>()),
        Node::Repeat(inside, 1.., ..) | Node::Capture(_, inside) | Node::Atomic(inside) => {
            return head(&pieces(inside));
        }
        _ => return None,
    })
}

/// Whether Oniguruma sees that what is repeated can't begin what is behind it. Of two sets it does so when one is of ASCII alone.
fn are_exclusive(one: &Node, behind: &[&Node]) -> bool {
    match (head(&pieces(one)), head(behind)) {
        (Some(Head::Text(one)), Some(Head::Text(next))) => one.bytes().zip(next.bytes()).any(|(a, b)| a != b),
        (Some(Head::Text(text)), Some(Head::Class(class))) | (Some(Head::Class(class)), Some(Head::Text(text))) => {
            text.chars().next().is_some_and(|c| !class.has(c))
        }
        (Some(Head::Class(one)), Some(Head::Class(next))) => {
            let apart = ('\0'..='\x7F').all(|c| !(one.has(c) && next.has(c)));
            apart && (one.is_ascii() || next.is_ascii() || are_words(&one, &next) || are_words(&next, &one))
        }
        _ => false,
    }
}

/// Whether one is `\w` and the other `\W`.
fn are_words(one: &Class, other: &Class) -> bool {
    class::letter('w').is_some_and(|mut word| {
        word.sort();
        *one == word && *other == word.negated()
    })
}
