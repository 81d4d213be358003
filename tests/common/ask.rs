// What the hidden lines of the docs' examples of callbacks have in common; they include this file.

pub use std::io::{self, IoSlice, Read, Write};
pub use std::time::Duration;

pub use corepoll::*;

/// Says `question` to a connection of `handler`, and gives all that it answers.
pub fn ask<H: EvHandler + Send>(handler: H, question: &str) -> String {
    let running = Reactor::builder().pollers(1).build().unwrap().start().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    Connector::new(&running.handle()).connect(&addr, move || handler).unwrap();
    let (mut client, _peer) = listener.accept().unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    running.handle().shutdown(Duration::ZERO);
    running.join().unwrap();
    answer
}
