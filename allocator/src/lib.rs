//! The allocator of all our programs: mimalloc, for what one thread allocates another frees all the time, and the allocator of
//! the system is slow at that.
//!
//! The crate `mimalloc` asks for each block with its alignment, which is the slower way into the same library, even for the
//! alignments that every block has. This is the only place with `unsafe` in it.

use std::alloc::{GlobalAlloc, Layout};

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_realloc, mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// Every block of mimalloc is aligned to this, whatever its size (`MI_INTPTR_SIZE` of mimalloc's `types.h`).
const EVERY_ALIGNMENT: usize = size_of::<usize>();

/// mimalloc.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocator;

// SAFETY: mimalloc gives blocks of at least the size that is asked for, aligned as asked or at least to a word, and takes any
// block of its own back by either way.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: any size and any power of two may be asked for.
        unsafe {
            if layout.align() <= EVERY_ALIGNMENT {
                mi_malloc(layout.size()).cast()
            } else {
                mi_malloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            if layout.align() <= EVERY_ALIGNMENT {
                mi_zalloc(layout.size()).cast()
            } else {
                mi_zalloc_aligned(layout.size(), layout.align()).cast()
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, _: Layout) {
        // SAFETY: who calls says that the block is ours.
        unsafe { mi_free(at.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: who calls says that the block is ours and has this alignment.
        unsafe {
            if layout.align() <= EVERY_ALIGNMENT {
                mi_realloc(at.cast(), size).cast()
            } else {
                mi_realloc_aligned(at.cast(), size, layout.align()).cast()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_every_size_and_alignment_are_aligned_and_keep_their_content() {
        for power in 0..=12 {
            for size in (1..200).chain([1_000, 4_096, 70_000, 5_000_000]) {
                let layout = Layout::from_size_align(size, 1 << power).expect("a layout");
                // SAFETY: each block is used within its size and given back once, with its layout.
                unsafe {
                    let block = Allocator.alloc(layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()), "{layout:?}");
                    block.write_bytes(7, size);
                    let longer = Allocator.realloc(block, layout, 2 * size);
                    assert!(longer.addr().is_multiple_of(layout.align()), "{layout:?}");
                    assert!((0..size).all(|at| longer.add(at).read() == 7), "{layout:?}");
                    Allocator.dealloc(longer, Layout::from_size_align(2 * size, layout.align()).expect("a layout"));
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert!((0..size).all(|at| zeroed.add(at).read() == 0), "{layout:?}");
                    Allocator.dealloc(zeroed, layout);
                }
            }
        }
    }
}
