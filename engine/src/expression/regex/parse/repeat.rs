//! Quantifiers of what has one already, as Oniguruma puts two together.

use super::{Greed, Node};

/// What becomes of two quantifiers.
#[derive(Clone, Copy)]
enum Both {
    Inner,
    Kept,
    /// This one in place of both.
    One(u32, Option<u32>, Greed),
    /// `(?:a+)??`
    PlusPerhaps,
}

/// By the inner one and the outer one: `?`, `*`, `+`, `??`, `*?`, `+?`.
const BOTH: [[Both; 6]; 6] = {
    use Both::{Inner, Kept, One, PlusPerhaps};
    const STAR: Both = One(0, None, Greed::Greedy);
    const PLUS: Both = One(1, None, Greed::Greedy);
    const LAZY_STAR: Both = One(0, None, Greed::Lazy);
    const PERHAPS: Both = One(0, Some(1), Greed::Lazy);
    [
        [Inner, STAR, STAR, PERHAPS, LAZY_STAR, Kept],
        [Inner, Inner, Inner, PlusPerhaps, PlusPerhaps, Inner],
        [STAR, STAR, Inner, Kept, PlusPerhaps, Inner],
        [Inner, LAZY_STAR, LAZY_STAR, Inner, LAZY_STAR, LAZY_STAR],
        [Inner; 6],
        [Kept, STAR, PLUS, LAZY_STAR, LAZY_STAR, Inner],
    ]
};

/// The place of a quantifier in that table.
fn kind(least: u32, most: Option<u32>, greed: Greed) -> Option<usize> {
    let kind = match (least, most) {
        (0, Some(1)) => 0,
        (0, None) => 1,
        (1, None) => 2,
        _ => return None,
    };
    Some(if greed == Greed::Lazy { kind + 3 } else { kind })
}

/// A node with a quantifier behind it.
pub(super) fn repeated(node: Node, least: u32, most: Option<u32>, greed: Greed) -> Node {
    if (least, most) == (1, Some(1)) {
        return node;
    }
    match node {
        Node::Repeat(inside, inner_least, inner_most, inner_greed) if inner_greed != Greed::Possessive => {
            let inner = (inner_least, inner_most, inner_greed);
            if greed == Greed::Possessive {
                return Node::Atomic(Box::new(twice(inside, inner, (least, most, Greed::Greedy))));
            }
            twice(inside, inner, (least, most, greed))
        }
        node => Node::Repeat(Box::new(node), least, most, greed),
    }
}

type Quantifier = (u32, Option<u32>, Greed);

fn twice(inside: Box<Node>, inner: Quantifier, outer: Quantifier) -> Node {
    let repeat = |inside, (least, most, greed): Quantifier| Node::Repeat(inside, least, most, greed);
    let kept = |inside, outer| repeat(Box::new(repeat(inside, inner)), outer);
    let (least, most, greed) = outer;
    match (kind(inner.0, inner.1, inner.2), kind(least, most, greed)) {
        (Some(inner_kind), Some(outer_kind)) => match BOTH[inner_kind][outer_kind] {
            Both::Inner => repeat(inside, inner),
            Both::Kept => kept(inside, outer),
            Both::One(least, most, greed) => repeat(inside, (least, most, greed)),
            Both::PlusPerhaps => repeat(Box::new(repeat(inside, (1, None, Greed::Greedy))), (0, Some(1), Greed::Lazy)),
        },
        // `(?:a*){2,5}` is `(?:a*){2}`.
        (Some(1 | 2), None) if greed == Greed::Greedy && most.is_some_and(|most| most > 1) => {
            kept(inside, (least, Some(least.max(1)), greed))
        }
        (None, _) if most == Some(least) && inner.1 == Some(inner.0) => match least.checked_mul(inner.0) {
            Some(times) => repeat(inside, (times, Some(times), greed)),
            None => kept(inside, outer),
        },
        _ => kept(inside, outer),
    }
}
