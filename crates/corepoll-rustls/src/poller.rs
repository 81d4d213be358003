//! What a callback asks of the poller: other connections, tasks, and what belongs to the poller.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

#[cfg(doc)]
use corepoll::EvContext;
use corepoll::net::ToStreamAddr;
use corepoll::{Budget, EvHandler, JoinHandle, ReactorHandle, Token};

use crate::context::TlsContext;
use crate::session::Stage;

impl<'b> TlsContext<'_, 'b> {
    /// Requests the end of a connection of this poller. For this connection it is
    /// [`Action::Close`](corepoll::Action::Close). Another TLS connection that is closed so ends
    /// without a close_notify: ask its handler instead, or its [`TlsWriter`](crate::TlsWriter).
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     cx.write(&data)?;
    ///     let own = cx.token();
    ///     assert!(cx.close(own));
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn close(&mut self, token: Token) -> bool {
        if token != self.cx.token() {
            return self.cx.close(token);
        }
        let is_open = self.session.stage == Stage::Open;
        self.session.stage = Stage::Closing;
        is_open
    }

    /// Connects to `addr` on this poller, with a plain handler or one of
    /// [`Tls::client`](crate::Tls::client). See [`EvContext::connect`].
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::connect`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// struct Upstream(TlsWriter);
    ///
    /// impl EvHandler for Upstream {
    ///     fn on_connect_fail(&mut self, _: io::Error) {
    ///         let _ = self.0.write("nothing listens there");
    ///         self.0.close();
    ///     }
    ///     fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
    ///         Ok(Action::Close)
    ///     }
    /// }
    ///
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let upstream = Upstream(cx.writer());
    ///     cx.connect("127.0.0.1:1", upstream)?;
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "nothing listens there");
    /// ```
    pub fn connect<H: EvHandler>(
        &mut self,
        addr: impl ToStreamAddr,
        handler: H,
    ) -> io::Result<Token> {
        self.cx.connect(addr, handler)
    }

    /// Returns the token of the connection.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session(Option<Token>);
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     self.0 = Some(cx.token());
    ///     Ok(Action::Keep)
    /// }
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     assert_eq!(self.0, Some(cx.token()));
    ///     cx.write(&data)?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session(None), "hello"), "hello");
    /// ```
    pub fn token(&self) -> Token {
        self.cx.token()
    }

    /// Returns the limits of the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let data = cx.read()?;
    ///     cx.write(&data)?;
    ///     assert!(cx.pending_output() < cx.budget().output_per_connection);
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn budget(&self) -> &'b Budget {
        self.cx.budget()
    }

    /// Returns the reactor of the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let pollers = cx.reactor().pollers().len();
    ///     cx.write(format!("{pollers} poller").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "1 poller");
    /// ```
    pub fn reactor(&self) -> ReactorHandle {
        self.cx.reactor()
    }

    /// Returns the address of the peer.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::peer_addr`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let peer = cx.peer_addr()?.ip();
    ///     cx.write(format!("you are {peer}").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "you are 127.0.0.1");
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.cx.peer_addr()
    }

    /// Returns the address of this side.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::local_addr`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let own = cx.local_addr()?.ip();
    ///     cx.write(format!("this is {own}").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "this is 127.0.0.1");
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.cx.local_addr()
    }

    /// Switches Nagle's algorithm off or on.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`EvContext::set_nodelay`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     cx.set_nodelay(true)?;
    ///     Ok(Action::Keep)
    /// }
    /// # fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    /// #     let data = cx.read()?;
    /// #     cx.write(&data)?;
    /// #     Ok(Action::Close)
    /// # }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "hello");
    /// ```
    pub fn set_nodelay(&mut self, on: bool) -> io::Result<()> {
        self.cx.set_nodelay(on)
    }

    /// Lends the poller's value of type `T` to `f`. See [`EvContext::with_local`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let count = cx.with_local(|count: &mut u32| {
    ///         *count += 1;
    ///         *count
    ///     });
    ///     cx.write(format!("request {count}").as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "request 1");
    /// ```
    pub fn with_local<T: Default + 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.cx.with_local(f)
    }

    /// Lends the poller's value of type `T` to `f`. See [`EvContext::with_local_or`].
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let greeting = cx.with_local_or(|| "good day".to_owned(), |text| text.clone());
    ///     cx.write(greeting.as_bytes())?;
    ///     Ok(Action::Close)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "good day");
    /// ```
    pub fn with_local_or<T: 'static, R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        self.cx.with_local_or(init, f)
    }

    /// Spawns a task on this poller. To write to the connection it takes a [`TlsWriter`](crate::TlsWriter) along.
    ///
    /// # Examples
    ///
    /// ```
    /// # mod example { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/example/ask.rs")); }
    /// # use example::*;
    /// # struct Session;
    /// # impl TlsHandler for Session {
    /// fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
    ///     let _ = cx.read()?;
    ///     let writer = cx.writer();
    ///     drop(cx.spawn_local(async move {
    ///         time::sleep(Duration::from_millis(1)).await;
    ///         let _ = writer.write("slept");
    ///         writer.close();
    ///     }));
    ///     Ok(Action::Keep)
    /// }
    /// # }
    /// # assert_eq!(ask(Session, "hello"), "slept");
    /// ```
    pub fn spawn_local<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.cx.spawn_local(future)
    }
}
