//! The callback API takes an address in whichever type the caller has it. A bad one is an error of
//! the call that uses it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr as UnixAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::common::{ANY, Echo, PATIENCE, Server, within_patience};
use corepoll::net::ToStreamAddr;
use corepoll::{
    Acceptor, Action, ConnectPool, Connector, EvContext, EvHandler, Listening, block_on,
};
use futures::{AsyncReadExt, AsyncWriteExt};

type Answers = Sender<io::Result<Vec<u8>>>;

/// Asks an echo server, and sends the answer.
struct Asks(Answers);

impl EvHandler for Asks {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.write(b"ping")?;
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let _ = self.0.send(Ok(cx.read()?.to_vec()));
        Ok(Action::Close)
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.0.send(Err(error));
    }
}

/// Once it is connected, connects there a second time, in its callback.
struct ConnectsAgain<A>(A, Answers);

impl<A: ToStreamAddr + Clone + 'static> EvHandler for ConnectsAgain<A> {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.connect(self.0.clone(), Asks(self.1.clone()))?;
        Ok(Action::Close)
    }

    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }

    fn on_connect_fail(&mut self, error: io::Error) {
        let _ = self.1.send(Err(error));
    }
}

fn answer(answers: &Receiver<io::Result<Vec<u8>>>) -> Vec<u8> {
    answers.recv_timeout(PATIENCE).expect("a call comes").expect("it connects")
}

/// Reaches an echo server at `addr` from any thread, inside a callback, and through a pool.
fn reaches<A: ToStreamAddr + Clone + Send + 'static>(server: &Server, addr: A) {
    let (sender, answers) = channel();
    let (connector, again) = (Connector::new(server.handle()), sender.clone());
    connector.connect(addr.clone(), move || Asks(sender)).unwrap();
    assert_eq!(answer(&answers), b"ping");
    let same = addr.clone();
    connector.connect(addr.clone(), move || ConnectsAgain(same, again)).unwrap();
    assert_eq!(answer(&answers), b"ping");
    within_patience(move || {
        block_on(async {
            let mut stream = ConnectPool::builder(addr).build().get().await.unwrap();
            stream.write_all(b"ping").await.unwrap();
            let mut answer = [0; 4];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"ping");
        });
    });
}

fn listen(server: &Server, addr: impl ToStreamAddr) -> Listening {
    Acceptor::new(addr).listen(server.handle(), || Echo).unwrap()
}

/// A path that belongs to this test.
fn path_of(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("corepoll-addresses-{name}-{}", std::process::id()))
}

#[test]
fn ip_addresses_are_taken_as_text_and_as_values() {
    let server = Server::start(1);
    let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let (any_text, any_address) = (ANY.to_owned(), SocketAddr::from(any));
    let listenings = [
        listen(&server, ANY),
        listen(&server, any_text.clone()),
        listen(&server, &any_text),
        listen(&server, any_address),
        listen(&server, [any_address].as_slice()),
        listen(&server, any),
        listen(&server, (Ipv4Addr::LOCALHOST, 0)),
        listen(&server, ("127.0.0.1", 0)),
    ];
    for listening in &listenings {
        assert!(listening.unix_addr().is_none());
        let addr = listening.local_addr().unwrap();
        reaches(&server, addr);
        reaches(&server, addr.to_string());
        reaches(&server, (addr.ip(), addr.port()));
        reaches(&server, vec![addr]);
    }
}

#[test]
fn the_first_of_several_addresses_that_can_be_listened_at_is_used() {
    let server = Server::start(1);
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let other = listen(&server, free);
    let listening = listen(&server, [other.local_addr().unwrap(), free]);
    assert_ne!(listening.local_addr().unwrap(), other.local_addr().unwrap());
    reaches(&server, listening.local_addr().unwrap());
    // All of them fail: the error tells of each.
    let both = [other.local_addr().unwrap(), listening.local_addr().unwrap()];
    let error = Acceptor::new(both).listen(server.handle(), || Echo).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    for addr in both {
        assert!(error.to_string().contains(&format!("listening on {addr}")), "{error}");
    }
}

#[test]
fn unix_sockets_are_taken_as_paths_and_as_addresses() {
    let server = Server::start(1);
    let path = path_of("path");
    let text = format!("unix:{}", path.display());
    let address = UnixAddr::from_pathname(&path).unwrap();
    let listens: [&dyn Fn() -> Listening; 5] = [
        &|| listen(&server, path.as_path()),
        &|| listen(&server, path.clone()),
        &|| listen(&server, &path),
        &|| listen(&server, &text),
        &|| listen(&server, address.clone()),
    ];
    for listen in listens {
        let listening = listen();
        assert_eq!(listening.unix_addr().unwrap().as_pathname(), Some(path.as_path()));
        let error = listening.local_addr().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        reaches(&server, path.clone());
        reaches(&server, text.clone());
        reaches(&server, address.clone());
        listening.close_and_wait();
        assert!(!path.exists(), "its file is removed");
    }
}

#[test]
fn abstract_names_are_taken_as_text_as_paths_and_as_addresses() {
    let server = Server::start(1);
    let name = format!("corepoll-addresses-{}", std::process::id());
    let (text, path) = (format!("unix:@{name}"), PathBuf::from(format!("\0{name}")));
    let address = UnixAddr::from_abstract_name(&name).unwrap();
    let listens: [&dyn Fn() -> Listening; 3] =
        [&|| listen(&server, &text), &|| listen(&server, &path), &|| listen(&server, &address)];
    for listen in listens {
        let listening = listen();
        assert_eq!(listening.unix_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        reaches(&server, text.clone());
        reaches(&server, path.clone());
        reaches(&server, address.clone());
        listening.close_and_wait();
    }
}

/// Uses `addr` in each way. Returns the errors.
fn errors(server: &Server, addr: impl ToStreamAddr + Clone + Send + 'static) -> [io::Error; 3] {
    let acceptor = Acceptor::new(addr.clone());
    let pool = addr.clone();
    let connector = Connector::new(server.handle());
    let unused = || -> Echo { panic!("a handler is made") };
    [
        acceptor.listen(server.handle(), || Echo).unwrap_err(),
        connector.connect(addr, unused).unwrap_err(),
        within_patience(move || {
            block_on(async { ConnectPool::new(pool).get().await.unwrap_err() })
        }),
    ]
}

#[test]
fn a_bad_address_is_an_error_of_the_call_that_uses_it() {
    let server = Server::start(1);
    let unnamed = UnixAddr::from_pathname("").unwrap();
    let long = PathBuf::from("x".repeat(200));
    let all = [
        errors(&server, "nonsense"),
        errors(&server, "unix:"),
        errors(&server, "unix:@"),
        errors(&server, ("", 80)),
        errors(&server, Vec::new()),
        errors(&server, Path::new("").to_owned()),
        errors(&server, Path::new("a\0b").to_owned()),
        errors(&server, long),
        errors(&server, unnamed),
    ];
    for error in all.iter().flatten() {
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }
}

#[test]
fn errors_name_a_path_as_text_does() {
    let server = Server::start(1);
    let path = path_of("missing").join("socket");
    let error = Acceptor::new(&path).listen(server.handle(), || Echo).unwrap_err();
    let start = format!("listening on unix:{}", path.display());
    assert!(error.to_string().starts_with(&start), "{error}");
    let (sender, answers) = channel();
    Connector::new(server.handle()).connect(&path, move || Asks(sender)).unwrap();
    let error = answers.recv_timeout(PATIENCE).unwrap().unwrap_err();
    let start = format!("connecting to unix:{}", path.display());
    assert!(error.to_string().starts_with(&start), "{error}");
}
