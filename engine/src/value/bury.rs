//! Dropping what nests deeply without nesting calls.

use std::any::Any;
use std::cell::{Cell, RefCell};

/// Drops that may nest before the rest waits for the outermost.
const DEPTH_MAX: u32 = 48;

thread_local! {
    // Scratch space of drops in progress, empty between them: no state that outlives a call.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static WAITING: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Drops `item`. Called from the `Drop` of a type that may hold itself, it keeps the machine stack flat: beyond some
/// depth the parts wait until the outermost drop takes them in turn.
pub fn bury<T: Any>(item: T) {
    let depth = DEPTH.get();
    if depth >= DEPTH_MAX {
        let mut item = Some(item);
        // While the thread ends the list may be gone; then the parts are dropped in place.
        let _ = WAITING.try_with(|waiting| {
            if let Some(item) = item.take() {
                waiting.borrow_mut().push(Box::new(item));
            }
        });
        return;
    }
    DEPTH.set(depth + 1);
    drop(item);
    if depth == 0 {
        while let Ok(Some(item)) = WAITING.try_with(|waiting| waiting.borrow_mut().pop()) {
            drop(item);
        }
    }
    DEPTH.set(depth);
}
