//! A value that stays on its poller's thread, in a box that may go to any thread.
//!
//! # Why it may be Send and Sync
//!
//! The value of a `PollerBound` is made, looked at, polled, taken out and dropped on one thread: the
//! one on which `new` was called. On other threads only the box's address and the two fields beside
//! it are moved around.
//!
//! - **Looked at, polled, taken out**: each way in asks [`SharedRef::is_current`] first, and panics
//!   if it is `false`. By the invariant **Owner** of the module, `CURRENT` equals an executor's
//!   address only on its owner's thread; the reference that is held keeps the address from being
//!   given to another executor; and an executor never changes its thread. So `true` means that this
//!   thread is the one on which `new` found the same executor.
//! - **Dropped**: in place on that same thread, which is known by its number even outside of the
//!   executor; on other threads by a closure that is posted to the executor. A posted closure is run
//!   or refused by the owner, on its thread. If the executor has ended, the closure comes back and is
//!   forgotten: the value leaks, as the thread on which it could be dropped can't be reached any more.
//! - **Shared**: all that `&PollerBound` gives another thread is a panic.
//!
//! # Why its pin reaches the value
//!
//! The value has a box of its own, so moving a `PollerBound`, or sending it to its owner to be dropped,
//! doesn't move the value. A `PollerBound` is `Unpin` only if the value is. So once it is pinned, safe
//! code gets neither `&mut PollerBound`, which `DerefMut` needs, nor the whole, which `into_inner`
//! needs.
//!
//! `traits` passes the traits of futures, streams, sinks and I/O through to the value, and `boxed`
//! makes bindings that have a name.

mod boxed;
mod traits;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};

use super::shared::SharedRef;

/// A box that carries a value that is not `Send` through code that asks for `Send`: handlers of
/// axum, upgrades of hyper, clients that box their stream as `Send`.
///
/// The value stays on the thread of the poller in which it was bound. Every use checks that it
/// happens there, from inside the poller, and panics otherwise. The box itself may travel: when it
/// is dropped on another thread, the value is sent back and dropped on its own. If its poller has
/// ended by then, the value is leaked rather than dropped on a foreign thread.
///
/// The box derefs to the value, and is a future, a stream, a sink, an `AsyncRead`, an
/// `AsyncBufRead` or an `AsyncWrite` if the value is one. It costs one allocation. Where the type
/// must be named, or must be `Unpin`, [`PollerBound::boxed`] and [`PollerBound::boxed_stream`] hide
/// the type of the future or stream.
///
/// # Examples
///
/// ```
/// use corepoll::{PollerBound, block_on};
/// use std::rc::Rc;
///
/// fn asks_for_send<F: Future + Send>(future: F) -> F {
///     future
/// }
///
/// let answer = block_on(asks_for_send(async {
///     let shared = PollerBound::new(Rc::new(42));
///     corepoll::yield_now().await; // `shared` lives across an await, and the future is Send.
///     **shared
/// }));
/// assert_eq!(answer, 42);
/// ```
pub struct PollerBound<T: 'static> {
    /// The poller's executor.
    shared: SharedRef,
    /// The number of the poller's thread, which no other thread gets.
    thread: u64,
    /// The value, or `None` once `into_inner` or a drop has taken it.
    value: Option<Box<T>>,
    /// Makes this `Unpin` only if `T` is.
    pinned: PhantomData<T>,
}

// SAFETY: the value is touched by its own thread only; see the top of the file. `SharedRef` is Send.
unsafe impl<T> Send for PollerBound<T> {}
// SAFETY: a shared reference gives other threads nothing of the value; see the top of the file.
unsafe impl<T> Sync for PollerBound<T> {}

/// A value on its way back to its owner. Dropping it drops the value, which must happen there only.
struct Returning<T>(Box<T>);

// SAFETY: it is dropped by the executor's owner, or forgotten; nothing else is done with it.
unsafe impl<T> Send for Returning<T> {}

/// Returns the number of this thread. If it has none, it gets one if `or_new` says so, or else this
/// is 0. Numbers are not used again, as addresses and the kernel's thread ids are.
fn thread_number(or_new: bool) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        /// It has no destructor, so that it can be read in those of other thread-locals.
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 && or_new {
            // Relaxed: the numbers only have to differ.
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

impl<T: 'static> PollerBound<T> {
    /// Binds `value` to the poller of this thread.
    ///
    /// # Panics
    ///
    /// Panics outside of a poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::PollerBound;
    /// # use std::{cell::Cell, rc::Rc};
    /// # corepoll::block_on(async {
    /// let counter = PollerBound::new(Rc::new(Cell::new(0)));
    /// counter.set(counter.get() + 1);
    /// assert_eq!(counter.get(), 1);
    /// # });
    /// ```
    #[track_caller]
    pub fn new(value: T) -> PollerBound<T> {
        let Some(shared) = SharedRef::current() else {
            panic!(
                "PollerBound::new was called outside of a poller: there is none on this thread \
                 that the {} could be bound to",
                std::any::type_name::<T>()
            )
        };
        let thread = thread_number(true);
        PollerBound { shared, thread, value: Some(Box::new(value)), pinned: PhantomData }
    }

    /// Returns the value, unbound.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller. The box is dropped then, as anywhere else: the value is sent
    /// back to its poller and dropped there.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{PollerBound, block_on};
    /// use std::rc::Rc;
    ///
    /// block_on(async {
    ///     let bound = PollerBound::new(Rc::new(5));
    ///     assert_eq!(*bound.into_inner(), 5);
    /// });
    /// ```
    #[track_caller]
    pub fn into_inner(mut self) -> T {
        self.check();
        *self.value.take().expect("a binding has its value until it is consumed")
    }

    /// Returns `true` if the value may be used here: the calling code runs in its poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # use corepoll::PollerBound;
    /// # use std::rc::Rc;
    /// # corepoll::block_on(async {
    /// let bound = PollerBound::new(Rc::new(5));
    /// assert!(bound.is_home());
    /// std::thread::spawn(move || assert!(!bound.is_home())).join().unwrap();
    /// # });
    /// ```
    pub fn is_home(&self) -> bool {
        self.shared.is_current()
    }

    /// Checks that the value may be used here.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    #[inline]
    #[track_caller]
    fn check(&self) {
        if !self.shared.is_current() {
            self.not_home();
        }
    }

    /// Panics, since the value may not be used here.
    #[cold]
    #[track_caller]
    fn not_home(&self) -> ! {
        panic!(
            "a PollerBound<{}> was used outside of its poller: the value may only be used by code \
             that runs in the poller in which it was bound, on its thread",
            std::any::type_name::<T>()
        )
    }

    /// Returns the value.
    #[inline]
    #[track_caller]
    fn get(&self) -> &T {
        self.check();
        self.value.as_deref().expect("a binding has its value until it is consumed")
    }

    /// Returns the value, pinned by the pin of its box.
    #[inline]
    #[track_caller]
    fn get_pin(self: Pin<&mut Self>) -> Pin<&mut T> {
        self.check();
        // SAFETY: the value is pinned by the binding's pin: its box never moves it, and nothing
        // below gives it out in another way; see the top of the file.
        unsafe {
            let this = self.get_unchecked_mut();
            let value = this.value.as_deref_mut();
            Pin::new_unchecked(value.expect("a binding has its value until it is consumed"))
        }
    }
}

impl<T> Drop for PollerBound<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        if self.shared.is_current() || self.thread == thread_number(false) {
            return drop(value);
        }
        let returning = Returning(value);
        let carry = move || {
            // All of it, and not the box in it alone, which isn't Send.
            let returning = returning;
            drop(returning.0);
        };
        if let Err(refused) = self.shared.post(carry) {
            // Leaked: see the top of the file.
            std::mem::forget(refused);
        }
    }
}

impl<T> Deref for PollerBound<T> {
    type Target = T;

    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        self.get()
    }
}

impl<T> DerefMut for PollerBound<T> {
    /// Does what the value's method does.
    ///
    /// # Panics
    ///
    /// Panics outside of its poller.
    #[inline]
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        self.check();
        self.value.as_deref_mut().expect("a binding has its value until it is consumed")
    }
}

/// Shows the value in its poller, and its type elsewhere.
impl<T: fmt::Debug> fmt::Debug for PollerBound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_tuple("PollerBound");
        match &self.value {
            Some(value) if self.is_home() => shown.field(value).finish(),
            _ => shown
                .field(&format_args!("{} of another thread", std::any::type_name::<T>()))
                .finish(),
        }
    }
}
