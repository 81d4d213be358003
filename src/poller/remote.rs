//! What other threads, and code that knows no poller, do with one by its handle.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::base::interest::Interest;
use crate::connection::call;
use crate::local::errors::gone;
use crate::local::handle::PollerHandle;
use crate::local::handler::EvHandler;
use crate::local::registry;
use crate::local::state::Local;
use crate::sys::epoll::Epoll;
use crate::sys::socket;

impl PollerHandle {
    /// Returns the poller that runs on this thread: inside callbacks, `on_connect_fail` included, and
    /// tasks; under [`block_on`](crate::block_on) and a [`LocalPoller`](crate::LocalPoller), too.
    ///
    /// ```
    /// use corepoll::{PollerHandle, Reactor, block_on};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let running = Reactor::builder().pollers(1).build()?.start()?;
    /// let poller = running.handle().pollers()[0].clone();
    /// let connections = poller.spawn_on(|| async {
    ///     // Wherever this runs.
    ///     PollerHandle::current().stats().connections
    /// });
    /// assert_eq!(block_on(connections).unwrap(), 0);
    /// # running.handle().shutdown(std::time::Duration::ZERO);
    /// # running.join()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// If there is no poller on this thread: [`PollerHandle::try_current`] doesn't.
    #[track_caller]
    pub fn current() -> PollerHandle {
        PollerHandle::try_current().unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`PollerHandle::current`], for code that may run elsewhere.
    ///
    /// ```
    /// use corepoll::{PollerHandle, block_on};
    ///
    /// assert!(PollerHandle::try_current().is_err());
    /// block_on(async { assert!(PollerHandle::try_current().is_ok()) });
    /// ```
    ///
    /// # Errors
    /// There is no poller on this thread.
    pub fn try_current() -> io::Result<PollerHandle> {
        Ok(Local::expect_current("PollerHandle::current")?.handle.clone())
    }

    /// Puts any descriptor into this poller: it is made non-blocking, and the handler that
    /// `factory` makes on the poller's thread gets its events. What goes wrong only there, as
    /// when the user's limit of watched descriptors is reached (epoll_ctl(2)), comes to
    /// [`EvHandler::on_connect_fail`].
    ///
    /// May be called from any thread. Since others may have duplicates of the descriptor, its close
    /// is a plain one: see [`EvContext::fd`](crate::EvContext::fd).
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
    ///
    /// # Errors
    /// The descriptor is no good: fcntl(2)'s; and epoll_ctl(2)'s, as for a regular file (EPERM).
    /// Or the poller has ended. The descriptor is closed, and `factory` is not called.
    pub fn register<H: EvHandler>(
        &self,
        fd: OwnedFd,
        interest: Interest,
        factory: impl FnOnce() -> H + Send + 'static,
    ) -> io::Result<()> {
        socket::set_nonblocking(fd.as_fd())?;
        Epoll::check_pollable(fd.as_fd())?;
        let register = move || {
            let Some(local) = Local::current() else { return };
            let handler = Box::new(factory());
            if let Err((error, handler)) = registry::register_foreign(&local, fd, interest, handler)
            {
                call::on_connect_fail(&local, handler, error);
            }
        };
        self.run_on(register).map_err(|_| gone())
    }
}
