//! Attempts to connect, through whole turns.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::connection::{connect, request_close};
use crate::local::attempt::{Place, Recipient, Target};
use crate::local::registry;
use crate::parts::budget::Budget;
use crate::poller::Poller;

/// Connects, and turns the poller until the attempt has ended. Returns `true` if it has succeeded.
fn connects(poller: &Poller, address: std::net::SocketAddr, aborts: bool) -> bool {
    let results: Rc<RefCell<Vec<bool>>> = Rc::default();
    let limit = Some(Duration::from_secs(3600));
    let name = address.to_string().into();
    let (place, settings) = (Place::Ip(vec![address]), Default::default());
    let target = Target { name, place, settings, limit };
    let sink = results.clone();
    let receive = move |result: io::Result<_>| sink.borrow_mut().push(result.is_ok());
    let token = connect::begin(poller.local(), target, Recipient::Descriptor(Box::new(receive)));
    assert_eq!(aborts, aborts && request_close::token(poller.local(), token));
    while results.borrow().is_empty() {
        poller.turn(None).expect("epoll works");
    }
    poller.turn(Some(Duration::ZERO)).expect("epoll works");
    assert_eq!(results.borrow().len(), 1);
    results.take()[0]
}

/// The kernel has connected, and the poller has not dispatched the event yet.
#[test]
fn a_connection_that_is_made_when_the_deadline_comes_is_made_in_time() {
    let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
    let entered = poller.enter();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let results: Rc<RefCell<Vec<bool>>> = Rc::default();
    let sink = results.clone();
    let receive = move |result: io::Result<_>| sink.borrow_mut().push(result.is_ok());
    let (place, settings) = (Place::Ip(vec![address]), Default::default());
    let limit = Some(Duration::ZERO);
    let target = Target { name: address.to_string().into(), place, settings, limit };
    let token = connect::begin(poller.local(), target, Recipient::Descriptor(Box::new(receive)));
    let _peer = listener.accept().expect("it connects");
    connect::on_timer(poller.local(), token);
    assert_eq!(*results.borrow(), [true]);
    assert_eq!(registry::tokens(poller.local()), []);
    drop(entered);
}

#[test]
fn no_timer_and_no_entry_is_left() {
    let poller = Poller::on_this_thread(Budget::default()).expect("a poller");
    let entered = poller.enter();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("fcntl");
    let open = listener.local_addr().expect("it is bound");
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let closed = socket.expect("a socket");
    closed.bind(&any).expect("a free port");
    let closed = closed.local_addr().expect("it is bound").as_socket().expect("an IP socket");
    for _ in 0..100 {
        assert!(connects(&poller, open, false));
        assert!(!connects(&poller, open, true));
        assert!(!connects(&poller, closed, false));
        // The listener's backlog has room for some of them only.
        while listener.accept().is_ok() {}
    }
    assert_eq!(poller.local().timers.borrow().len(), 0);
    assert_eq!(registry::tokens(poller.local()), []);
    drop(entered);
}
