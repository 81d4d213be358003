//! A pool's connection comes to a handler, and goes back.

use std::io;

use crate::base::token::Token;
use crate::connection::request_close;
use crate::local::action::CloseReason;
use crate::local::connection::State;
use crate::local::context::EvContext;
use crate::local::errors::closing_error;
use crate::local::flags::Flags;
use crate::local::handler::EvHandler;
use crate::local::registered::Registered;
use crate::local::registry;
use crate::local::state::Local;

impl Registered {
    /// As [`Registered::into_connection`], for a connection that the handler may release.
    pub(crate) fn into_pooled_connection(
        self,
        handler: Box<dyn EvHandler>,
    ) -> Result<Token, (io::Error, Box<dyn EvHandler>)> {
        let local = self.local().clone();
        let token = self.into_connection(handler)?;
        if let Some(connection) = registry::connection(&local, token) {
            connection.turn_on(Flags::POOLED);
        }
        Ok(token)
    }
}

impl EvContext<'_> {
    /// Gives the connection back to the [`ConnectPool`](crate::ConnectPool) that it came from, for
    /// the next user. Call it when the whole answer has been read. The handler is done with it:
    /// [`EvHandler::on_close`] comes at the end of the turn, once, with [`CloseReason::Requested`].
    ///
    /// The pool looks at the connection after that. One that has ended or failed, that has been shut
    /// down, or on which bytes wait to be read, is closed instead; so is one whose handler panics or
    /// returns an error after this.
    ///
    /// ```
    /// use corepoll::{Action, CloseReason, ConnectPool, EvContext, EvHandler};
    /// use std::io;
    ///
    /// /// One question, one line for an answer.
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
    ///
    /// # Errors
    /// The connection did not come from [`ConnectPool::get_with`](crate::ConnectPool::get_with)
    /// ([`io::ErrorKind::InvalidInput`]), some of its output is not in the kernel yet
    /// ([`io::ErrorKind::ResourceBusy`]: [`EvContext::pending_output`] and
    /// [`EvHandler::on_write`] tell), or it is ending already ([`io::ErrorKind::BrokenPipe`]).
    pub fn release(&mut self) -> io::Result<()> {
        let connection = self.connection;
        if connection.state() != State::Open {
            return Err(closing_error());
        }
        if !connection.has(Flags::POOLED) {
            let message = "release: the connection is not from a pool";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if self.pending_output() > 0 {
            let message = "release: output of the connection has not been sent yet";
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        connection.turn_on(Flags::RELEASED);
        // What a `Writer` has brought since is sent before `on_close`, and no more is accepted.
        request_close::connection(self.local, connection, CloseReason::Requested);
        Ok(())
    }

    /// In `on_close`: takes the descriptor away from a connection that its handler has released and
    /// that could go on. None: there is no such descriptor.
    pub(crate) fn reclaim(&mut self) -> Option<Registered> {
        let connection = self.connection;
        let is_released =
            connection.has_without(Flags::RELEASED, Flags::READ_EOF | Flags::HAS_OUTPUT);
        if connection.state() != State::Closed || !is_released {
            return None;
        }
        let (local, fd) = (Local::current()?, self.fd.take()?);
        match Registered::again(fd, local) {
            Ok(registered) => {
                // The caller of this callback has a clone of it: no foreign code runs.
                drop(registry::remove(self.local, connection.token));
                connection.turn_on(Flags::DIRTY);
                if connection.has(Flags::FD_EXPOSED) {
                    registered.lend();
                }
                if connection.has(Flags::COUNTED) {
                    self.local.handle.leave();
                }
                Some(registered)
            }
            Err((_, fd)) => {
                *self.fd = Some(fd);
                None
            }
        }
    }
}
