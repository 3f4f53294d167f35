//! Panics of the `parquet` crate: its decoders do not check all lengths within a page, and panic on some wrong ones.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static EXPECTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread will be caught and reported as damage, so that a panic hook need not report it.
#[must_use]
pub fn expecting_panic() -> bool {
    EXPECTING.get()
}

/// Runs `work`, which panics on some damaged input; `None` if it panicked. What `work` had access to must not be used
/// after a panic.
pub fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    let outer = EXPECTING.replace(true);
    // Unwind safety: after a panic the reader is dropped, and the whole operation fails.
    let outcome = catch_unwind(AssertUnwindSafe(work));
    EXPECTING.set(outer);
    outcome.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contained_panic_is_expected_until_the_outermost_work_ends() {
        let inner = contained(|| {
            assert!(contained(|| std::panic::panic_any(())).is_none());
            expecting_panic()
        });
        assert_eq!(inner, Some(true));
        assert!(!expecting_panic());
    }
}
