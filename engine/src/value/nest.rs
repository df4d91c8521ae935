//! What is open while a value is gone through, without recursion.

/// The innermost that is open apart from the others: most values are flat, and need no list.
#[derive(Debug)]
pub(super) struct Nest<T> {
    innermost: Option<T>,
    others: Vec<T>,
}

impl<T> Nest<T> {
    pub const fn new() -> Nest<T> {
        Nest { innermost: None, others: Vec::new() }
    }

    pub fn depth(&self) -> usize {
        self.others.len() + usize::from(self.innermost.is_some())
    }

    pub fn innermost(&mut self) -> Option<&mut T> {
        self.innermost.as_mut()
    }

    pub fn push(&mut self, open: T) {
        self.others.extend(self.innermost.replace(open));
    }

    pub fn pop(&mut self) -> Option<T> {
        std::mem::replace(&mut self.innermost, self.others.pop())
    }
}
