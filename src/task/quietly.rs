//! Foreign code whose panics concern nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls foreign code; what it throws is thrown away.
pub(crate) fn call_quietly(call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call))
        && let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(panic)))
    {
        // A payload whose own destructor panics is not worth another try.
        std::mem::forget(second);
    }
}

/// Drops a foreign value; what its destructor throws is thrown away.
pub(crate) fn drop_quietly<T>(value: T) {
    call_quietly(|| drop(value));
}
