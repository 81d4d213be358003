use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use corepoll::{Action, CloseReason, Connector, EvContext, Reactor};
use corepoll_rustls::{Tls, TlsContext, TlsHandler};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::common::{Heard, Identity, Server, VERSIONS, next, text};

/// Asks once, and tells the answer and its end.
struct Ask {
    tell: Sender<String>,
    question: Vec<u8>,
    heard: usize,
}

impl TlsHandler for Ask {
    fn on_open(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let _ = self.tell.send(format!("open {:?}", cx.handshake_kind()));
        cx.write(&self.question)?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut TlsContext<'_, '_>) -> io::Result<Action> {
        let data = cx.read()?;
        let rest = &self.question[self.heard..];
        assert!(rest.starts_with(&data), "the answer differs after {}", self.heard);
        self.heard += data.len();
        let is_whole = self.heard == self.question.len();
        Ok(if is_whole || data.is_empty() { Action::Close } else { Action::Keep })
    }
    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.tell.send(format!("unreached {:?}", error.kind()));
    }
    fn on_handshake_fail(&mut self, _: &mut EvContext<'_>, reason: CloseReason) {
        let _ = self.tell.send(format!("failed {}", text(&reason)));
    }
    fn on_close(&mut self, _: &mut TlsContext<'_, '_>, reason: CloseReason) {
        let _ = self.tell.send(format!("closed {} {}", self.heard, text(&reason)));
    }
}

#[test]
fn a_handler_connects_and_resumes() {
    let identity = Identity::new("localhost");
    let (server, _heard) = Server::echo(identity.server());
    for version in VERSIONS {
        let config = Arc::new(identity.client(&[version]));
        for kind in ["Full", "Resumed"] {
            let (tell, heard) = channel();
            let reactor = Reactor::builder().pollers(1).build().expect("it is made");
            let running = reactor.start().expect("it starts");
            let (config, name) =
                (config.clone(), ServerName::try_from("localhost").expect("a name"));
            let question = (0..3 << 20).map(|index| (index % 251) as u8).collect();
            let handler = move || Tls::client(config, name, Ask { tell, question, heard: 0 });
            Connector::new(&running.handle()).connect(server.addr, handler).expect("an address");
            assert_eq!(next(&heard), format!("open Some({kind})"));
            assert_eq!(next(&heard), format!("closed {} Requested", 3 << 20));
            running.handle().shutdown(Duration::ZERO);
        }
    }
}

#[test]
fn a_wrong_certificate_is_refused_and_both_sides_are_told() {
    let [identity, other] = ["localhost", "localhost"].map(Identity::new);
    let (server, heard) = Server::echo(identity.server());
    for version in VERSIONS {
        let told = connect_one(server.addr, Arc::new(other.client(&[version])));
        let told = next(&told);
        assert!(told.starts_with("failed InvalidData: invalid peer certificate"), "{told}");
        let told = next(&heard);
        assert!(told.starts_with("failed InvalidData: received fatal alert"), "{told}");
    }
}

/// Connects a handler, and leaves its reactor running until the test has ended.
fn connect_one(addr: std::net::SocketAddr, config: Arc<ClientConfig>) -> Heard {
    let (tell, heard) = channel();
    let running = Reactor::builder().pollers(1).build().and_then(Reactor::start).expect("starts");
    let name = ServerName::try_from("localhost").expect("it is a name");
    let connect = move || Tls::client(config, name, Ask { tell, question: vec![1], heard: 0 });
    Connector::new(&running.handle()).connect(addr, connect).expect("it is an address");
    std::mem::forget(running);
    heard
}

#[test]
fn nobody_there_is_a_failure_to_connect() {
    let identity = Identity::new("localhost");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let addr = listener.local_addr().expect("it is bound");
    drop(listener);
    let config = Arc::new(identity.client(&VERSIONS));
    assert_eq!(next(&connect_one(addr, config)), "unreached ConnectionRefused");
}
