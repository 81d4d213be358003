//! Host names: looked up on a thread that may wait, or refused at once. Never on the poller's.

use std::future::Future;
use std::io::{self, ErrorKind};

use crate::common::{ANY, Server, within_patience};
use corepoll::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use corepoll::{Acceptor, Action, EvContext, EvHandler, Reactor, block_on};
use futures::FutureExt;

/// A name that no resolver is asked for in vain: RFC 6761 has it in no network.
const NAME: &str = "corepoll.invalid:80";

struct Nothing;

impl EvHandler for Nothing {
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

fn in_a_poller<T: Send + 'static, F: Future<Output = io::Result<T>>>(
    make: impl FnOnce() -> F + Send + 'static,
) -> T {
    within_patience(|| block_on(make()).unwrap())
}

/// Calls that return at once never look a name up, whichever features there are: they may be on a
/// poller's thread.
#[test]
fn calls_that_do_not_wait_refuse_names() {
    let refuses = |error: io::Error| {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let text = error.to_string();
        assert!(text.contains("corepoll.invalid") && text.contains("`blocking`"), "{text}");
    };
    let server = Server::start(1);
    let handle = server.handle();
    refuses(Acceptor::new(NAME).listen(handle, || Nothing).unwrap_err());
    refuses(handle.serve(NAME, |_, _| async {}).unwrap_err());
    refuses(handle.serve(("corepoll.invalid", 80), |_, _| async {}).unwrap_err());
    // With the feature, the look-up is another thread's, and the handler is told how it went.
    #[cfg(not(feature = "blocking"))]
    {
        let error = corepoll::Connector::new(handle).connect(NAME, || Nothing).unwrap_err();
        // It is no call that never looks a name up: the feature is all that it wants.
        assert!(error.to_string().contains("needs corepoll's feature"), "{error}");
        refuses(error);
    }
    let reactor = Reactor::builder().pollers(1).build().unwrap();
    refuses(reactor.serve(NAME, |_, _| async {}).unwrap_err());
}

#[test]
fn addresses_are_no_names() {
    in_a_poller(|| async {
        // At once: there is nothing to wait for, with or without the feature.
        let found = lookup_host("127.0.0.1:80").now_or_never().expect("no look-up")?;
        assert_eq!(found.collect::<Vec<_>>(), ["127.0.0.1:80".parse().unwrap()]);
        let found = lookup_host(("::1", 80)).now_or_never().expect("no look-up")?;
        assert_eq!(found.len(), 1);
        assert!(UdpSocket::bind(ANY).now_or_never().is_some());
        let error = lookup_host("no port").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok(())
    });
}

#[cfg(not(feature = "blocking"))]
#[test]
fn without_the_feature_a_name_is_an_error_at_once_that_names_it() {
    in_a_poller(|| async {
        let socket = UdpSocket::bind(ANY).await?;
        for refused in [
            TcpStream::connect(NAME).now_or_never().expect("at once").map(drop),
            TcpStream::connect(("corepoll.invalid", 80)).now_or_never().expect("at once").map(drop),
            TcpListener::bind(NAME).now_or_never().expect("at once").map(drop),
            UdpSocket::bind(NAME).now_or_never().expect("at once").map(drop),
            socket.connect(NAME).now_or_never().expect("at once"),
            socket.send_to(b"x", NAME).now_or_never().expect("at once").map(drop),
            lookup_host(NAME).now_or_never().expect("at once").map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            let text = error.to_string();
            assert!(text.contains("corepoll.invalid:80"), "{text}");
            assert!(text.contains("feature `blocking`"), "{text}");
        }
        Ok(())
    });
}

#[cfg(feature = "blocking")]
#[test]
fn names_are_looked_up_wherever_there_is_time_for_it() {
    in_a_poller(|| async {
        // The one name that every machine knows: hosts(5).
        let listener = TcpListener::bind("localhost:0").await?;
        let addr = listener.local_addr()?;
        assert!(addr.ip().is_loopback());
        let client = TcpStream::connect(("localhost", addr.port())).await?;
        assert_eq!(listener.accept().await?.1, client.local_addr()?);
        assert!(lookup_host("localhost:80").await?.all(|found| found.ip().is_loopback()));

        let receiver = UdpSocket::bind("localhost:0").await?;
        let port = receiver.local_addr()?.port();
        let sender = UdpSocket::bind((receiver.local_addr()?.ip(), 0)).await?;
        sender.send_to(b"hello", ("localhost", port)).await?;
        sender.connect(format!("localhost:{port}")).await?;
        sender.send(b"hello").await?;
        assert_eq!(receiver.recv(&mut [0; 9]).await?, 5);
        assert_eq!(receiver.recv(&mut [0; 9]).await?, 5);
        Ok(())
    });
}

#[cfg(feature = "blocking")]
#[test]
fn an_unknown_name_is_an_error_that_says_so() {
    in_a_poller(|| async {
        let error = TcpStream::connect(NAME).await.unwrap_err();
        assert!(error.to_string().contains("looking up corepoll.invalid:80"), "{error}");
        Ok(())
    });
}
