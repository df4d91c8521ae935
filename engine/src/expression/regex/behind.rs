//! What may stand behind: a look-behind matches a fixed number of characters, and only some things are allowed in it. jq
//! refuses all others, so a pattern that works here works there.

use super::parse::{Assert, Greed, Node, Parsed};
use super::program::{fold, width};

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

/// The nodes within a node; not what it calls.
pub fn children(node: &Node) -> Vec<&Node> {
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

/// Whether it has one length. What can be empty whatever stands around it needs none: it holds everywhere.
fn is_fixed(parsed: &Parsed, inside: &Node) -> bool {
    let branches = match inside {
        Node::Alternate(branches) => &branches[..],
        one => std::slice::from_ref(one),
    };
    let widths = branches.iter().map(|branch| match branch {
        Node::Concat(nodes) => of_sequence(parsed, nodes),
        one => of_sequence(parsed, std::slice::from_ref(one)),
    });
    let min = widths.clone().map(|(min, _)| min).min().unwrap_or(0);
    let holds = |(branch, (least, _)): (&Node, (u32, _))| least == 0 && is_sure(branch);
    let holds_everywhere = !keeps(inside) && branches.iter().zip(widths.clone()).any(holds);
    holds_everywhere || widths.into_iter().all(|(_, max)| max == Some(min))
}

/// Whether `\K` is in it.
fn keeps(node: &Node) -> bool {
    matches!(node, Node::Keep) || children(node).into_iter().any(keeps)
}

/// Whether nothing that it asks of a place, and no group, stands in the way of its fewest characters, as Oniguruma counts: not even
/// in what may be left out.
fn is_sure(node: &Node) -> bool {
    match node {
        Node::Assert(_) | Node::Look(..) | Node::Capture(..) => false,
        Node::Concat(nodes) => nodes.iter().all(is_sure),
        Node::Alternate(branches) => {
            let min = branches.iter().map(|branch| width(branch).0).min();
            branches.iter().any(|branch| Some(width(branch).0) == min && is_sure(branch))
        }
        Node::Repeat(inside, ..) | Node::Atomic(inside) => is_sure(inside),
        _ => true,
    }
}

/// The width of a branch. Repetitions of one character that it begins with count with their fewest, for more of them change
/// nothing; up to the first that must be there.
fn of_sequence(parsed: &Parsed, nodes: &[Node]) -> (u32, Option<u32>) {
    let (mut min, mut max, mut leads) = (0_u32, Some(0_u32), true);
    for (place, node) in nodes.iter().enumerate() {
        let (least, most) = match node {
            Node::Repeat(one, least, most, greed)
                if leads && is_reduced(one, (*least, *most), *greed, &nodes[place + 1..]) =>
            {
                leads = *least == 0;
                (*least, Some(*least))
            }
            Node::Back(numbers, _) => referred(parsed, numbers),
            Node::Call(number) => referred(parsed, &[*number]),
            other => width(other),
        };
        leads = leads && matches!(node, Node::Repeat(..));
        min = min.saturating_add(least);
        max = max.zip(most).and_then(|(max, most)| max.checked_add(most));
    }
    (min, max)
}

/// Not where more characters are taken for good, which Oniguruma does by itself before a character that the repeated one is not.
fn is_reduced(one: &Node, (least, most): (u32, Option<u32>), greed: Greed, behind: &[Node]) -> bool {
    let simple = match one {
        Node::Char(..) | Node::Any(_) | Node::Back(..) => true,
        Node::Class(class) => !class.holds_several,
        _ => false,
    };
    let for_good = greed == Greed::Greedy && most.is_none() && least <= 1;
    simple && greed != Greed::Possessive && !(for_good && behind.first().is_some_and(|next| are_exclusive(one, next)))
}

/// Whether no character is both; those of the Latin alphabets are tried.
fn are_exclusive(one: &Node, next: &Node) -> bool {
    const TRIED_MAX: u32 = 0x250;
    let is = |node: &Node, c: char| match node {
        Node::Char(own, folded) => *own == c || (*folded && fold(*own) == fold(c)),
        Node::Class(class) => class.has(c),
        _ => true,
    };
    let next = match next {
        Node::Repeat(inside, 1.., ..) => inside,
        next => next,
    };
    (0..TRIED_MAX).filter_map(char::from_u32).all(|c| !(is(one, c) && is(next, c)))
}

/// The width of the groups that a reference means.
fn referred(parsed: &Parsed, numbers: &[usize]) -> (u32, Option<u32>) {
    let group = |number: &usize| parsed.groups.get(number.wrapping_sub(1)).and_then(Option::as_ref);
    let widths = numbers.iter().filter_map(group).map(width);
    widths.reduce(|(a, b), (c, d)| (a.min(c), b.zip(d).map(|(b, d)| b.max(d)))).unwrap_or((0, None))
}
