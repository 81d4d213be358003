//! The simulated kernel of a thread.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use super::world::World;

/// A simulated kernel, shared by the code of one thread.
pub(crate) type Kernel = Rc<RefCell<World>>;

thread_local! {
    /// Whether this thread is inside of a simulation: a short way past `KERNEL`.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The kernel of the simulation that this thread is in.
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
}

/// Returns the simulated kernel of this thread, if it is inside of a simulation.
#[inline]
pub(crate) fn current() -> Option<Kernel> {
    if !INSIDE.get() {
        return None;
    }
    KERNEL.with_borrow(Clone::clone)
}

/// Makes `kernel` the one that this thread calls, until the guard is dropped.
pub(crate) fn enter(kernel: Kernel) -> impl Drop {
    /// Puts back the kernel that was called before.
    struct Entered(Option<Kernel>);
    impl Drop for Entered {
        fn drop(&mut self) {
            let before = self.0.take();
            INSIDE.set(before.is_some());
            KERNEL.replace(before);
        }
    }
    INSIDE.set(true);
    Entered(KERNEL.replace(Some(kernel)))
}

/// Lets the simulation that this thread is in fail by a panic that the library has caught, unless it
/// tolerates that.
///
/// It does not panic: a task is half way from its future to its output when this is called.
pub(crate) fn report_panic(panic: &(dyn Any + Send)) {
    // What panics inside of a call of the kernel is the simulation itself, and ends it anyway.
    if let Some(kernel) = current()
        && let Ok(mut world) = kernel.try_borrow_mut()
        && !world.tolerates_panics
    {
        world.panicked(panic);
    }
}

/// Returns the address of a simulated host by its name.
///
/// # Errors
///
/// Returns `NotFound` if there is no such host.
pub(crate) fn look_up(name: &str) -> io::Result<IpAddr> {
    let found = current().and_then(|kernel| kernel.borrow().look_up(name));
    found.ok_or_else(|| {
        let message = format!("the simulation has no host {name:?}");
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
