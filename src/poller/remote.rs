//! The functions of `PollerHandle` that reach a poller's handlers. The others are in
//! `local::handle`; these are on this floor because they call handlers and look for the thread's
//! poller.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::base::interest::Interest;
use crate::connection::call;
use crate::local::errors::{RegisterError, poller_ended};
use crate::local::handle::PollerHandle;
use crate::local::handler::EvHandler;
use crate::local::registry;
use crate::local::state::Local;
use crate::sys::epoll::Epoll;
use crate::sys::{fd, socket};

impl PollerHandle {
    /// Returns the handle of the poller that runs on this thread.
    ///
    /// There is one inside of callbacks, `on_connect_fail` included, and inside of tasks, also
    /// under [`block_on`](crate::block_on) and in a [`LocalPoller`](crate::LocalPoller).
    ///
    /// # Panics
    ///
    /// Panics if no poller runs on this thread. [`PollerHandle::try_current`] returns an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{PollerHandle, Reactor, block_on};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let poller = running.handle().pollers()[0].clone();
    /// let connections = poller.spawn_on(|| async {
    ///     // Works wherever this code runs on a poller.
    ///     PollerHandle::current().stats().connections
    /// });
    /// assert_eq!(block_on(connections).unwrap(), 0);
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn current() -> PollerHandle {
        PollerHandle::try_current().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Returns the handle of the poller that runs on this thread, like [`PollerHandle::current`],
    /// or an error if there is none.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind [`Other`](io::ErrorKind::Other) if no poller runs on this
    /// thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{PollerHandle, block_on};
    ///
    /// assert!(PollerHandle::try_current().is_err());
    /// block_on(async { assert!(PollerHandle::try_current().is_ok()) });
    /// ```
    pub fn try_current() -> io::Result<PollerHandle> {
        Ok(Local::expect_current("PollerHandle::current")?.handle.clone())
    }

    /// Registers a descriptor with this poller. The handler that `factory` makes gets its events.
    /// Any descriptor will do that epoll accepts: a pipe, a terminal, an eventfd.
    ///
    /// May be called from any thread: `factory` runs on the poller's thread, and so does the
    /// handler. The descriptor is made non-blocking. Other code may hold duplicates of it, so its
    /// close is a plain one: see [`EvContext::fd`](crate::EvContext::fd).
    ///
    /// # Errors
    ///
    /// Returns the errors of fcntl(2) and epoll_ctl(2), for instance EPERM for a regular file, and
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the poller has ended. The descriptor is
    /// closed then, and `factory` is not called.
    ///
    /// A failure that shows only on the poller's thread goes to [`EvHandler::on_connect_fail`]. One
    /// is the user's limit of watched descriptors: epoll(7), `max_user_watches`.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler, Interest, Reactor};
    /// use std::io::{self, Write};
    /// use std::sync::mpsc;
    ///
    /// struct Lines(mpsc::Sender<Vec<u8>>);
    ///
    /// impl EvHandler for Lines {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let data = cx.read()?;
    ///         if data.is_empty() {
    ///             return Ok(Action::Close);
    ///         }
    ///         self.0.send(data.to_vec()).map_err(io::Error::other)?;
    ///         Ok(Action::Keep)
    ///     }
    /// }
    ///
    /// # fn main() -> io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let (reader, mut writer) = io::pipe()?;
    /// let (sender, receiver) = mpsc::channel();
    /// let poller = running.handle().pollers()[0].clone();
    /// poller.register(reader.into(), Interest::READABLE, move || Lines(sender))?;
    /// writer.write_all(b"hello")?;
    /// assert_eq!(receiver.recv().unwrap(), b"hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn register<H: EvHandler>(
        &self,
        fd: OwnedFd,
        interest: Interest,
        factory: impl FnOnce() -> H + Send + 'static,
    ) -> io::Result<()> {
        let fd = fd::OwnedFd::from(fd);
        socket::set_nonblocking(fd.as_fd())?;
        // Asked here, so that the caller gets the error and not a handler on another thread.
        Epoll::check_pollable(fd.as_fd())?;
        let register = move || {
            // Mail is opened inside of its poller.
            let Some(local) = Local::current() else { return };
            let handler = Box::new(factory());
            if let Err(RegisterError { error, rejected: handler }) =
                registry::register_foreign(&local, fd, interest, handler)
            {
                call::on_connect_fail(&local, handler, error);
            }
        };
        self.run_on(register).map_err(|_| poller_ended())
    }
}
