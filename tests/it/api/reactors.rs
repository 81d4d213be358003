//! Reactors in combination: one listens, another serves, a third connects; and a handler of one puts
//! descriptors into another.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use crate::common::{ANY, PATIENCE, Server, ask, connect};
use corepoll::{
    Acceptor, Action, Connector, EvContext, EvHandler, Interest, LocalPoller, PollerHandle,
    Reactor, ReactorHandle, Writer, block_on,
};

/// The name of the reactor whose thread this is.
fn here() -> String {
    let thread = thread::current();
    thread.name().and_then(|name| name.rsplit_once('-')).expect("a poller").0.to_owned()
}

fn reactor(name: &str) -> Server {
    Server::build(Reactor::builder().pollers(2).thread_name(name))
}

/// In the reactor that connects: gives the upstream's answers to the client's writer.
struct Upstream {
    request: Vec<u8>,
    client: Writer,
}

impl EvHandler for Upstream {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        assert_eq!(here(), "connects");
        cx.write(&self.request)?;
        Ok(Action::Keep)
    }
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        self.client.write(cx.read()?.to_vec())?;
        Ok(Action::Close)
    }
}

/// In the reactor that serves: asks an upstream through the third for each request.
struct Front {
    connects: ReactorHandle,
    upstream: SocketAddr,
}

impl EvHandler for Front {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        assert_eq!(here(), "serves");
        let (request, client) = (cx.read()?.to_vec(), cx.writer());
        if request.is_empty() {
            return Ok(Action::Close);
        }
        let upstream = self.upstream.to_string();
        Connector::new(&self.connects).connect(&upstream, || Upstream { request, client })?;
        Ok(Action::Keep)
    }
}

#[test]
fn one_listens_another_serves_and_a_third_connects() {
    let (listens, serves, connects) = (reactor("listens"), reactor("serves"), reactor("connects"));
    let (_echo, upstream) =
        Server::of_tasks(|stream, _| async move { futures::io::copy(&stream, &mut &stream).await });
    let to = connects.handle().clone();
    let factory = move || Front { connects: to.clone(), upstream };
    let acceptor = Acceptor::new(ANY).deliver_to(serves.handle());
    let listening = acceptor.listen(listens.handle(), factory).unwrap();
    let clients: Vec<_> = (0..8).map(|_| connect(listening.local_addr().unwrap())).collect();
    for round in 0..5u8 {
        for (number, client) in clients.iter().enumerate() {
            let request = [round, number as u8, 7];
            assert_eq!(ask(client, &request), request);
        }
    }
}

/// Tells what comes, and on whose thread.
struct Tells(Sender<(Vec<u8>, String)>);

impl EvHandler for Tells {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let bytes = cx.read()?.to_vec();
        let action = if bytes.is_empty() { Action::Close } else { Action::Keep };
        let _ = self.0.send((bytes, here()));
        Ok(action)
    }
}

/// Registers a descriptor on its own poller and another in another reactor, when it is asked.
struct Registers {
    own: Option<OwnedFd>,
    others: Option<OwnedFd>,
    other: PollerHandle,
    tell: Sender<(Vec<u8>, String)>,
}

impl EvHandler for Registers {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let request = cx.read()?;
        if let Some(own) = self.own.take() {
            cx.register(own, Interest::READABLE, Tells(self.tell.clone()))?;
        }
        if let Some(others) = self.others.take() {
            let tell = self.tell.clone();
            self.other.register(others, Interest::READABLE, || Tells(tell))?;
        }
        cx.write(&request)?;
        Ok(if request.is_empty() { Action::Close } else { Action::Keep })
    }
}

#[test]
fn a_handler_registers_descriptors_on_its_poller_and_in_another_reactor() {
    let (one, other) = (reactor("one"), reactor("other"));
    let (tell, told) = mpsc::channel();
    let (reader, mut pipe) = io::pipe().unwrap();
    let near = std::net::UdpSocket::bind(ANY).unwrap();
    let far = std::net::UdpSocket::bind(ANY).unwrap();
    far.connect(near.local_addr().unwrap()).unwrap();
    let handlers = std::sync::Mutex::new(Some(Registers {
        own: Some(reader.into()),
        others: Some(near.into()),
        other: other.handle().pollers()[1].clone(),
        tell,
    }));
    let addr = one.listen(move || handlers.lock().unwrap().take().expect("one client"));
    assert_eq!(ask(&connect(addr), b"go"), b"go");
    pipe.write_all(b"by the pipe").unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok((b"by the pipe".to_vec(), "one".to_owned())));
    far.send(b"by UDP").unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok((b"by UDP".to_vec(), "other".to_owned())));
    drop(File::from(OwnedFd::from(pipe)));
    assert_eq!(told.recv_timeout(PATIENCE), Ok((Vec::new(), "one".to_owned())));
}

/// What `call` panics with, which waits and is called inside a poller.
fn says(call: impl FnOnce() + 'static) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("it would stand still");
    let text = panic.downcast::<&str>().map(|text| (*text).to_owned());
    text.unwrap_or_else(|other| *other.downcast().expect("a message"))
}

/// A call that waits.
type Call = Box<dyn FnOnce()>;

/// Each of the calls that wait, and what its panic begins and ends with.
fn waits_inside_a_poller() {
    let reactor = || Reactor::builder().pollers(1).build().unwrap();
    let all: [(&str, &str, Call); 5] = [
        ("block_on", "spawn_local", Box::new(|| block_on(async {}))),
        ("Reactor::run", "Reactor::start", Box::new(move || reactor().run().unwrap())),
        (
            "Reactor::run_until",
            "Reactor::start",
            Box::new(move || reactor().run_until(async {}).unwrap()),
        ),
        (
            "Reactor::serve",
            "ReactorHandle::serve",
            Box::new(move || reactor().serve(ANY, |_, _| async {}).unwrap()),
        ),
        (
            "LocalPoller::turn",
            "timeout of zero",
            Box::new(|| LocalPoller::new().unwrap().turn(None).unwrap()),
        ),
    ];
    for (name, instead, call) in all {
        let said = says(call);
        assert!(said.starts_with(&format!("{name} was called inside")), "{said}");
        assert!(said.contains(instead), "{said}");
    }
}

#[test]
fn a_reactor_is_not_joined_by_one_of_its_own_pollers() {
    let running = Reactor::builder().pollers(2).build().unwrap().start().unwrap();
    let (handle, (said, told)) = (running.handle(), mpsc::channel());
    let joins = move || said.send(says(|| drop(running.join()))).unwrap();
    assert!(handle.pollers()[1].run_on(joins).is_ok());
    let message = told.recv_timeout(PATIENCE).expect("it doesn't hang");
    assert!(message.starts_with("Running::join was called inside"), "{message}");
    assert!(message.contains("on another thread"), "{message}");
    handle.shutdown(Duration::ZERO);
}

#[test]
fn what_waits_panics_inside_a_poller_by_its_own_name() {
    struct InCallback(Sender<()>);
    impl EvHandler for InCallback {
        fn on_open(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            waits_inside_a_poller();
            self.0.send(()).map_err(io::Error::other)?;
            Ok(Action::Close)
        }
        fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
            Ok(Action::Close)
        }
    }
    // In a task, in a closure, in a callback.
    block_on(async { waits_inside_a_poller() });
    let server = reactor("nested");
    let poller = &server.handle().pollers()[0];
    let (said, told) = mpsc::channel();
    let done = said.clone();
    let closure = move || {
        waits_inside_a_poller();
        done.send(()).unwrap();
    };
    assert!(poller.run_on(closure).is_ok());
    told.recv_timeout(PATIENCE).unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    poller.register(near.into(), Interest::READABLE, move || InCallback(said)).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
}

/// Tells how many pollers the reactor of its connection has, or that there is no reactor.
struct Counts(Sender<Option<usize>>);

impl EvHandler for Counts {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let count = catch_unwind(AssertUnwindSafe(|| cx.reactor().pollers().len()));
        self.0.send(count.ok()).map_err(io::Error::other)?;
        Ok(Action::Close)
    }
    fn on_read(&mut self, _: &mut EvContext<'_>) -> io::Result<Action> {
        Ok(Action::Close)
    }
}

#[test]
fn a_callback_finds_the_reactor_of_its_poller() {
    let server = reactor("counts");
    let (tell, told) = mpsc::channel();
    let (near, _far) = UnixStream::pair().unwrap();
    let counts = Counts(tell.clone());
    server.handle().pollers()[1].register(near.into(), Interest::READABLE, || counts).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(2)));
    // A poller of `block_on` has none.
    block_on(async {
        let (near, mut far) = corepoll::net::UnixStream::pair().unwrap();
        PollerHandle::current()
            .register(near.into_std().unwrap().into(), Interest::READABLE, || Counts(tell))
            .unwrap();
        assert_eq!(futures::AsyncReadExt::read(&mut far, &mut [0]).await.unwrap(), 0);
    });
    assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
}

#[test]
fn a_poller_knows_its_index() {
    let server = reactor("indexed");
    for (index, poller) in server.handle().pollers().iter().enumerate() {
        assert_eq!(poller.index(), index);
        let there = poller.spawn_on(|| async { PollerHandle::current().index() });
        assert_eq!(block_on(there).expect("it is not cancelled"), index);
    }
    assert_eq!(block_on(async { PollerHandle::current().index() }), 0);
}
