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
    /// [`Connector::connect`](crate::Connector::connect). The only time limit is the kernel's;
    /// [`EvContext::close`] with the token ends the attempt, and `on_connect_fail` comes with
    /// `ConnectionAborted`.
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
    /// use corepoll::{Action, EvContext, EvHandler};
    /// use std::io;
    ///
    /// struct Upstream;
    /// # impl EvHandler for Upstream {
    /// #     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    /// #         Ok(Action::Close)
    /// #     }
    /// # }
    ///
    /// struct Proxy;
    ///
    /// impl EvHandler for Proxy {
    ///     fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
    ///         cx.connect("127.0.0.1:8080", Upstream)?;
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
        let target = target::parse(&addr.requested(), &ConnectOptions::new())?;
        // The attempt counts for the load of the poller, as the connection will.
        self.local.handle.increment_load();
        Ok(target::connect(self.local, target, Recipient::Handler(Box::new(handler))))
    }
}
