//! A pooled connection goes to a handler, and back to its pool.
//!
//! A pool knows connections as streams, and a handler has a connection. So one that a pool lends to
//! a handler goes through two hand-overs: as in `handover` on the way there, and by
//! [`EvContext::reclaim`] in its last callback on the way back. In between, two flags of the
//! connection tell how it is to end.

use std::io;

use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::context::EvContext;
use crate::local::errors::RegisterError;
use crate::local::flags::{Flags, State};
use crate::local::handler::EvHandler;
use crate::local::registered::Registered;
use crate::local::registry;
use crate::local::state::Local;

impl Registered {
    /// Moves the connection to `handler` like [`Registered::into_connection`], and lets the handler
    /// release it.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Registered::into_connection`].
    pub(crate) fn into_pooled_connection(
        self,
        handler: Box<dyn EvHandler>,
    ) -> Result<Token, RegisterError<Box<dyn EvHandler>>> {
        // Kept, since the stream is consumed with its reference to the poller.
        let local = self.local().clone();
        let token = self.into_connection(handler)?;
        if let Some(connection) = registry::connection(&local, token) {
            connection.set(Flags::POOLED);
        }
        Ok(token)
    }
}

impl EvContext<'_> {
    /// Returns the connection to the [`ConnectPool`](crate::ConnectPool) that it came from, for its
    /// next user.
    ///
    /// Call it when the whole answer has been read. The handler is done with the connection:
    /// [`EvHandler::on_close`] is called at the end of the turn with [`CloseReason::Requested`].
    ///
    /// The pool checks the connection after that. It closes a connection that has ended or failed,
    /// that has been shut down, or that has unread bytes, and one whose handler panics or returns
    /// an error after this call.
    ///
    /// # Errors
    ///
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) if the connection did not come from
    ///   [`ConnectPool::get_with`](crate::ConnectPool::get_with).
    /// - [`ResourceBusy`](io::ErrorKind::ResourceBusy) if some of its output is not in the kernel
    ///   yet. [`EvContext::pending_output`] returns how much, and [`EvHandler::on_write`] is called
    ///   when none is left.
    /// - [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the connection is ending already.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, CloseReason, ConnectPool, EvContext, EvHandler};
    /// use std::io;
    ///
    /// /// Asks one question; the answer is one line.
    /// struct Question {
    ///     pool: ConnectPool,
    ///     answer: Vec<u8>,
    /// }
    ///
    /// impl EvHandler for Question {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.write(b"what time is it\n")?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let part = cx.read()?;
    ///         if part.is_empty() {
    ///             return Ok(Action::Close);
    ///         }
    ///         self.answer.extend_from_slice(&part);
    ///         if self.answer.ends_with(b"\n") {
    ///             cx.release()?;
    ///         }
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_close(&mut self, cx: &mut EvContext<'_>, reason: CloseReason) {
    ///         # assert_eq!(self.answer, b"noon\n");
    ///         println!("{:?} was answered: {reason:?}", cx.token());
    ///     }
    /// }
    ///
    /// # use corepoll::net::{TcpListener, TcpStream};
    /// # use futures::{AsyncReadExt, AsyncWriteExt};
    /// # fn main() -> io::Result<()> {
    /// # /// Asks for a connection, in a callback.
    /// # struct Asks(ConnectPool);
    /// # impl EvHandler for Asks {
    /// #     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    /// #         let question = Question { pool: self.0.clone(), answer: Vec::new() };
    /// #         self.0.get_with(cx, question);
    /// #         Ok(Action::Close)
    /// #     }
    /// #     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #         Ok(Action::Close)
    /// #     }
    /// # }
    /// # corepoll::block_on(async {
    /// # let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// # let addr = listener.local_addr()?;
    /// # let pool = ConnectPool::new(addr.to_string());
    /// # let stream = TcpStream::connect(addr).await?;
    /// # let _asker = listener.accept().await?;
    /// # stream.into_handler(Asks(pool.clone()))?;
    /// # let (mut server, _) = listener.accept().await?;
    /// # server.read_exact(&mut [0; 16]).await?;
    /// # server.write_all(b"noon\n").await?;
    /// # while pool.idle() == 0 {
    /// #     corepoll::time::sleep(std::time::Duration::from_millis(1)).await;
    /// # }
    /// # assert_eq!((pool.idle(), pool.live()), (1, 1));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn release(&mut self) -> io::Result<()> {
        let connection = self.connection;
        if connection.state() != State::Open {
            return Err(self.not_open_error());
        }
        if !connection.has(Flags::POOLED) {
            let message = "release: the connection is not from a pool";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if self.pending_output() > 0 {
            let message = "release: output of the connection has not been sent yet";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        connection.set(Flags::RELEASED);
        // Output that a `Writer` has queued meanwhile is sent before `on_close`; no more is
        // accepted.
        request_close::connection(self.local, connection, CloseReason::Requested);
        Ok(())
    }

    /// Takes the descriptor away from a connection that its handler has released. Called in
    /// `on_close`. Returns `None` if the connection was not released or can't be used again.
    pub(crate) fn reclaim(&mut self) -> Option<Registered> {
        let connection = self.connection;
        // A connection that has ended, or whose last request is not sent, is of no use to the next
        // user.
        let is_released =
            connection.has_without(Flags::RELEASED, Flags::READ_EOF | Flags::HAS_OUTPUT);
        if connection.state() != State::Closed || !is_released {
            return None;
        }
        let (local, fd) = (Local::current()?, connection.take_fd()?);
        match Registered::reregister(fd, local) {
            Ok(registered) => {
                // It stays in its place until the end of the turn: no destructor of the handler
                // runs here.
                drop(registry::remove(self.local, connection.token()));
                connection.set(Flags::DIRTY);
                if connection.has(Flags::FD_EXPOSED) {
                    registered.expose();
                }
                // It counted for the poller's load while a handler had it. An idle one does not.
                if connection.has(Flags::COUNTED) {
                    self.local.handle.decrement_load();
                }
                Some(registered)
            }
            Err(RegisterError { rejected, .. }) => {
                connection.put_fd(rejected);
                None
            }
        }
    }
}
