//! What an idle connection of HTTP/1 takes on its poller: blocks and bytes in them, without what the allocator adds.
//! The figures of the README stand on these.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corepoll_hyper::Server;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::common::{Client, PATIENCE, Site, Text};
use crate::counting::live_here;

/// Connections at the two counts. Tables that double have room for the next power of two, so the difference of
/// two that fill theirs is what connections take.
const FEW: usize = 250;
const MANY: usize = 1_000;

/// Answers with the blocks and bytes that are allocated on this thread.
async fn count(_: Request<Incoming>) -> Result<Response<Text>, Infallible> {
    let (blocks, bytes) = live_here();
    Ok(Response::new(format!("{blocks} {bytes}").into()))
}

/// The blocks and bytes of the server's thread.
fn counted(client: &mut Client) -> [f64; 2] {
    let text = client.get("/").body;
    let (blocks, bytes) = text.split_once(' ').expect("two numbers");
    [blocks, bytes].map(|number| number.parse().expect("a number"))
}

/// Blocks and bytes of each of `number` connections.
fn each(before: [f64; 2], after: [f64; 2], number: usize) -> [f64; 2] {
    [0, 1].map(|at| (after[at] - before[at]) / number as f64)
}

/// Asks until each of `number` connections since `before` takes no more than `most`.
fn settled(asks: &mut Client, before: [f64; 2], number: usize, most: [f64; 2]) -> [f64; 2] {
    let began = Instant::now();
    loop {
        let now = counted(asks);
        let each = each(before, now, number);
        if each[0] <= most[0] && each[1] <= most[1] {
            return now;
        }
        assert!(began.elapsed() < PATIENCE, "{each:?} blocks and bytes each, not {most:?}");
    }
}

/// Opens idle connections by `open`, each of which takes no more than `most` blocks and bytes soon. Then shuts the
/// server down, of which each hears at once.
fn hold(server: Server, open: impl Fn(SocketAddr) -> Client, most: [f64; 2]) {
    let site = Site::start(1);
    let listening = server.serve(&site.handle(), "127.0.0.1:0", service_fn(count));
    let addr = listening.expect("it listens").local_addr().expect("an address");
    let mut asks = Client::connect(addr);
    let none = counted(&mut asks);
    let mut connections: Vec<Client> = (0..FEW).map(|_| open(addr)).collect();
    // A few blocks and bytes more, which are not those of connections.
    let few = settled(&mut asks, none, FEW, [most[0] + 0.5, most[1] * 1.5]);
    connections.extend((FEW..MANY).map(|_| open(addr)));
    let many = settled(&mut asks, few, MANY - FEW, most);
    let [blocks, bytes] = each(few, many, MANY - FEW);
    println!("{blocks:.2} blocks, {bytes:.1} bytes");
    assert_eq!(site.stop_within(Duration::from_millis(1_500)).cancelled, 0);
    for mut client in connections {
        assert_eq!(client.until_the_end(), "");
    }
}

#[test]
fn a_connection_that_was_never_asked_is_small() {
    hold(Server::new(), Client::connect, [3.1, 570.0]);
}

/// The blocks are those of a new connection, and one for deadlines. Tables have had room for the timers of many
/// connections at once.
#[test]
fn a_connection_that_was_asked_is_small_when_it_is_idle() {
    let server = Server::new().release_idle_after(Duration::from_millis(1));
    let answered = |addr| {
        let mut client = Client::connect(addr);
        assert_eq!(client.get("/").status, 200);
        client
    };
    hold(server, answered, [4.2, 900.0]);
}
