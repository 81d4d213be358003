//! The free functions that act on the poller of the calling thread.
//!
//! They find the poller by a thread-local, where a callback has its context and other threads have
//! a handle. A future may be polled deep inside of code that passes no context on.

use std::borrow::Cow;
use std::future::Future;

use crate::local::state::Local;
use crate::task::{self, join::JoinHandle};

/// Spawns a task on the poller of this thread. The future need not be `Send`, and never leaves the
/// poller.
///
/// A poller that is ending drops the future at once. The handle then gives an error for which
/// [`JoinError::is_cancelled`](crate::JoinError::is_cancelled) is `true`.
///
/// # Panics
///
/// Panics outside of a poller.
///
/// # Examples
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
#[inline]
#[track_caller]
pub fn spawn_local<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match task::spawn(future) {
        Ok(handle) => handle,
        Err(future) => task::panic_outside_poller("spawn_local", future),
    }
}

/// Spawns a task with a name on the poller of this thread, like [`spawn_local`].
///
/// [`JoinHandle::name`] returns the name, and `Debug` of the handle shows it. Tasks without a name
/// don't pay for the possibility.
///
/// # Panics
///
/// Panics outside of a poller.
///
/// # Examples
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
#[track_caller]
pub fn spawn_local_named<F: Future + 'static>(
    name: impl Into<Cow<'static, str>>,
    future: F,
) -> JoinHandle<F::Output> {
    match task::spawn_named(name.into(), future) {
        Ok(handle) => handle,
        Err(future) => task::panic_outside_poller("spawn_local_named", future),
    }
}

/// Lends the poller's value of type `T` to `f`.
///
/// Each poller has one value of each type. It is made by `Default` when it is first asked for, and
/// dropped with the poller. [`with_local_or`] is for types without a `Default`.
///
/// # Panics
///
/// Panics outside of a poller, and if `f` calls it again for the same type.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, with_local};
///
/// block_on(async {
///     with_local(|count: &mut u64| *count += 1);
///     assert_eq!(with_local(|count: &mut u64| *count), 1);
/// });
/// ```
#[track_caller]
pub fn with_local<T: Default + 'static, R>(f: impl FnOnce(&mut T) -> R) -> R {
    let local = Local::current().expect("with_local was called outside of a poller");
    local.values.with(T::default, f)
}

/// Lends the poller's value of type `T` to `f`, and makes it by `init` if the poller has none.
///
/// It is the same value that [`with_local`] lends.
///
/// # Panics
///
/// Panics outside of a poller, and if `f` calls it again for the same type.
///
/// # Examples
///
/// ```
/// use corepoll::{block_on, with_local_or};
///
/// /// There is no port that every program would want by default.
/// struct Port(u16);
///
/// block_on(async {
///     assert_eq!(with_local_or(|| Port(8080), |port| port.0), 8080);
///     with_local_or(|| Port(8080), |port| port.0 += 1);
///     assert_eq!(with_local_or(|| Port(8080), |port| port.0), 8081);
/// });
/// ```
#[track_caller]
pub fn with_local_or<T: 'static, R>(init: impl FnOnce() -> T, f: impl FnOnce(&mut T) -> R) -> R {
    let local = Local::current().expect("with_local_or was called outside of a poller");
    local.values.with(init, f)
}
