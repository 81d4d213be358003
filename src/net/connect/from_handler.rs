//! Connecting inside a callback, on the same poller.
//!
//! This is [`Connector`](crate::Connector) without the mail: the poller is at hand, the handler is
//! made already, and the token of the attempt can be returned at once.

use std::io;

use crate::base::token::Token;
use crate::local::attempt::Recipient;
use crate::local::context::EvContext;
use crate::local::handler::EvHandler;
use crate::net::addr::to_stream_addr::ToStreamAddr;
use crate::net::connect::options::ConnectOptions;
use crate::net::connect::target;

impl EvContext<'_> {
    /// Connects to `addr` on this poller, as a proxy does. Addresses and calls are those of
    /// [`Connector::connect`](crate::Connector::connect). The only time limit is the kernel's, about
    /// two minutes: [`EvContext::connect_with`] takes another one. [`EvContext::close`] with the
    /// token ends the attempt, and `on_connect_fail` comes with `ConnectionAborted`.
    ///
    /// `on_connect_fail` never comes inside this call: of an attempt that fails at once it comes
    /// later in this turn, and then the token is spent. Otherwise the token is that of the
    /// connection.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is malformed, if there is none, or if it is a host name and
    /// the feature `blocking` is off. The handler is dropped then.
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::{Action, EvContext, EvHandler, Writer};
    /// use std::io;
    ///
    /// /// The side of the upstream, which can write to the client.
    /// struct Upstream(Writer);
    ///
    /// impl EvHandler for Upstream {
    ///     fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let answer = cx.read()?;
    ///         if answer.is_empty() {
    ///             self.0.close();
    ///             return Ok(Action::Close);
    ///         }
    ///         self.0.write(answer.to_vec())?;
    ///         Ok(Action::Keep)
    ///     }
    ///     fn on_connect_fail(&mut self, _: io::Error) {
    ///         // Without this the client would wait for ever.
    ///         let _ = self.0.write(&b"no upstream\n"[..]);
    ///         self.0.close();
    ///     }
    /// }
    ///
    /// /// The side of the client.
    /// struct Proxy;
    ///
    /// impl EvHandler for Proxy {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.connect("127.0.0.1:8080", Upstream(cx.writer()))?;
    ///         Ok(Action::Keep)
    ///     }
    /// #   fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #       Ok(Action::Close)
    /// #   }
    /// }
    /// ```
    pub fn connect<H: EvHandler>(
        &mut self,
        addr: impl ToStreamAddr,
        handler: H,
    ) -> io::Result<Token> {
        self.connect_with(addr, ConnectOptions::new(), handler)
    }

    /// Connects as [`EvContext::connect`] does, with options: a time limit, a local address, the
    /// sizes of buffers.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::connect`].
    ///
    /// # Examples
    ///
    /// ```
    /// use corepoll::net::ConnectOptions;
    /// use corepoll::{Action, EvContext, EvHandler};
    /// use std::{io, time::Duration};
    ///
    /// # struct Upstream;
    /// # impl EvHandler for Upstream {
    /// #     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #         Ok(Action::Close)
    /// #     }
    /// # }
    /// struct Proxy;
    ///
    /// impl EvHandler for Proxy {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         let options = ConnectOptions::new().timeout(Duration::from_secs(3)).nodelay(true);
    ///         cx.connect_with("127.0.0.1:8080", options, Upstream)?;
    ///         Ok(Action::Keep)
    ///     }
    /// #   fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #       Ok(Action::Close)
    /// #   }
    /// }
    /// ```
    pub fn connect_with<H: EvHandler>(
        &mut self,
        addr: impl ToStreamAddr,
        options: ConnectOptions,
        handler: H,
    ) -> io::Result<Token> {
        let target = target::parse(&addr.requested(), &options)?;
        // The attempt counts for the load of the poller, as the connection will.
        self.local.handle.increment_load();
        Ok(target::connect(self.local, target, Recipient::Handler(Box::new(handler))))
    }
}
