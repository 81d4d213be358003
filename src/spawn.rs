//! What a poller's thread does for tasks, as free functions.

use std::borrow::Cow;
use std::future::Future;

use crate::local::state::Local;
use crate::task::{self, join::JoinHandle};

/// Spawns a task on the poller of this thread. It need not be `Send`, and it never leaves the
/// poller.
///
/// A poller that is ending drops the future at once; the handle then says that it was cancelled.
///
/// ```
/// use corepoll::{block_on, spawn_local};
/// use std::rc::Rc;
///
/// block_on(async {
///     let shared = Rc::new(5);
///     let task = spawn_local({
///         let shared = shared.clone();
///         async move { *shared }
///     });
///     assert_eq!(task.await.unwrap(), 5);
/// });
/// ```
///
/// # Panics
/// Outside of a poller.
#[inline]
pub fn spawn_local<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match task::spawn(future) {
        Ok(handle) => handle,
        Err(future) => task::panic_outside_poller("spawn_local", future),
    }
}

/// [`spawn_local`] of a task with a name: [`JoinHandle::name`] tells it, and `Debug` of the handle
/// shows it. Tasks without a name don't pay for the possibility.
///
/// ```
/// use corepoll::{block_on, spawn_local_named};
///
/// block_on(async {
///     let task = spawn_local_named("ticker", async {});
///     assert_eq!(task.name(), Some("ticker"));
///     let numbered = spawn_local_named(format!("session {}", 7), async {});
///     assert!(format!("{numbered:?}").contains("session 7"));
/// });
/// ```
///
/// # Panics
/// Outside of a poller.
pub fn spawn_local_named<F: Future + 'static>(
    name: impl Into<Cow<'static, str>>,
    future: F,
) -> JoinHandle<F::Output> {
    match task::spawn_named(name.into(), future) {
        Ok(handle) => handle,
        Err(future) => task::panic_outside_poller("spawn_local_named", future),
    }
}

/// Lends the poller's value of type `T` to `f`. Each poller has one value of each type; it is made
/// by `Default` when it is first asked for, and dropped with the poller.
///
/// ```
/// use corepoll::{block_on, with_local};
///
/// block_on(async {
///     with_local(|count: &mut u64| *count += 1);
///     assert_eq!(with_local(|count: &mut u64| *count), 1);
/// });
/// ```
///
/// # Panics
/// If it is called inside itself for the same type, and outside of a poller.
pub fn with_local<T: Default + 'static, R>(f: impl FnOnce(&mut T) -> R) -> R {
    let local = Local::current().expect("with_local was called outside of a poller");
    local.values.with(f)
}
