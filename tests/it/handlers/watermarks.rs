//! Watermarks: each crossing is told once, in turns, and never inside another callback.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use crate::common::{self, PATIENCE, Server, connect, read_exactly};
use corepoll::{Action, EvContext, EvHandler, Interest, Writer};

/// What a connection tells the test.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    High(usize),
    Low(usize),
    Closed,
}

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Fails if callbacks nest.
fn alone<R>(callback: impl FnOnce() -> R) -> R {
    assert!(!IN_CALLBACK.replace(true), "callbacks nest");
    let result = callback();
    IN_CALLBACK.set(false);
    result
}

type Step = Box<dyn FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send>;

/// Does what the test says when it opens and when something comes, and tells of crossings.
struct Scripted {
    open: Step,
    read: Step,
    tell: Sender<Told>,
}

impl EvHandler for Scripted {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        // The smallest send buffer, so that nearly everything is queued.
        socket2::SockRef::from(&cx.fd()).set_send_buffer_size(1)?;
        alone(|| (self.open)(cx))
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        if cx.read()?.is_empty() {
            return Ok(Action::Close);
        }
        alone(|| (self.read)(cx))
    }

    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        alone(|| drop(self.tell.send(Told::High(cx.pending_output()))));
        Ok(Action::Keep)
    }

    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        alone(|| drop(self.tell.send(Told::Low(cx.pending_output()))));
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: corepoll::CloseReason) {
        let _ = self.tell.send(Told::Closed);
    }
}

/// A server whose only connection follows a script.
fn scripted(
    open: impl FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
    read: impl FnMut(&mut EvContext<'_>) -> io::Result<Action> + Send + 'static,
) -> (Server, SocketAddr, Receiver<Told>) {
    let (tell, told) = channel();
    let script = Scripted { open: Box::new(open), read: Box::new(read), tell };
    let script = std::sync::Mutex::new(Some(script));
    let (server, addr) =
        Server::of_handlers(move || script.lock().unwrap().take().expect("one connection"));
    (server, addr, told)
}

fn keep(_: &mut EvContext<'_>) -> io::Result<Action> {
    Ok(Action::Keep)
}

fn next(told: &Receiver<Told>) -> Told {
    told.recv_timeout(PATIENCE).expect("it is told")
}

/// Everything that is still told until the end of the connection.
fn rest(told: &Receiver<Told>) -> Vec<Told> {
    let mut all = Vec::new();
    loop {
        match next(told) {
            Told::Closed => return all,
            other => all.push(other),
        }
    }
}

const MEGABYTE: usize = 1 << 20;

#[test]
fn each_crossing_is_told_once() {
    let (_server, addr, told) = scripted(
        |cx| {
            cx.set_watermarks(1000, 100_000);
            Ok(Action::Keep)
        },
        |cx| {
            // Many writes that pass the mark once.
            (0..16).try_for_each(|_| cx.write(&[7; MEGABYTE / 16]))?;
            Ok(Action::Keep)
        },
    );
    let mut client = connect(addr);
    for _ in 0..5 {
        client.write_all(b"x").expect("the server reads");
        assert!(matches!(next(&told), Told::High(pending) if pending > 100_000));
        read_exactly(&client, MEGABYTE);
        assert!(matches!(next(&told), Told::Low(pending) if pending <= 1000));
    }
    drop(client);
    assert_eq!(rest(&told), []);
}

#[test]
fn as_much_as_the_high_mark_is_not_above_it() {
    let (_server, addr, told) = scripted(
        |cx| {
            cx.write(&[7; MEGABYTE])?;
            cx.set_watermarks(0, cx.pending_output());
            Ok(Action::Keep)
        },
        |cx| {
            cx.write(&[7; MEGABYTE])?;
            cx.set_watermarks(0, cx.pending_output() - 1);
            Ok(Action::Keep)
        },
    );
    let mut client = connect(addr);
    read_exactly(&client, MEGABYTE);
    client.write_all(b"x").expect("the server reads");
    read_exactly(&client, MEGABYTE);
    drop(client);
    assert!(matches!(rest(&told)[..], [Told::High(_), Told::Low(0)]), "the second output's alone");
}

#[test]
fn output_that_stays_below_the_high_mark_is_not_worth_a_word() {
    let (_server, addr, told) = scripted(
        |cx| {
            cx.set_watermarks(10, MEGABYTE);
            Ok(Action::Keep)
        },
        |cx| {
            cx.write(&[7; MEGABYTE])?;
            assert!(cx.pending_output() > 10);
            Ok(Action::Keep)
        },
    );
    let mut client = connect(addr);
    for _ in 0..3 {
        client.write_all(b"x").expect("the server reads");
        read_exactly(&client, MEGABYTE);
    }
    drop(client);
    assert_eq!(rest(&told), []);
}

#[test]
fn without_marks_nothing_is_told_and_marks_see_what_is_queued_already() {
    let mut reads = 0;
    let (_server, addr, told) = scripted(
        |cx| cx.write(&[7; MEGABYTE]).map(|()| Action::Keep),
        move |cx| {
            reads += 1;
            match reads {
                1 => cx.set_watermarks(0, 0),
                // The other side of the marks, without a change of the output.
                2 => cx.set_watermarks(usize::MAX - 1, usize::MAX - 1),
                _ => cx.set_watermarks(0, usize::MAX),
            }
            Ok(Action::Keep)
        },
    );
    let mut client = connect(addr);
    client.write_all(b"1").expect("the server reads");
    assert!(matches!(next(&told), Told::High(1..)));
    client.write_all(b"2").expect("the server reads");
    assert!(matches!(next(&told), Told::Low(1..)));
    client.write_all(b"3").expect("the server reads");
    read_exactly(&client, MEGABYTE);
    drop(client);
    assert_eq!(rest(&told), []);
}

#[test]
fn a_low_mark_above_the_high_one_means_the_high_one() {
    let (_server, addr, told) = scripted(
        |cx| {
            cx.set_watermarks(10 * MEGABYTE, 50_000);
            cx.write(&[7; MEGABYTE])?;
            Ok(Action::Keep)
        },
        keep,
    );
    let client = connect(addr);
    assert!(matches!(next(&told), Told::High(pending) if pending > 50_000));
    read_exactly(&client, MEGABYTE);
    assert!(matches!(next(&told), Told::Low(pending) if pending <= 50_000));
    drop(client);
    assert_eq!(rest(&told), []);
}

#[test]
fn output_of_a_writer_passes_the_marks_as_well() {
    let (lend, lent) = channel::<Writer>();
    let (_server, addr, told) = scripted(
        move |cx| {
            cx.set_watermarks(0, 200_000);
            let _ = lend.send(cx.writer());
            Ok(Action::Keep)
        },
        keep,
    );
    let client = connect(addr);
    let writer = lent.recv_timeout(PATIENCE).expect("on_open is called");
    for _ in 0..3 {
        for _ in 0..64 {
            writer.write(vec![7; MEGABYTE / 64]).expect("it is below the limit");
        }
        assert!(matches!(next(&told), Told::High(pending) if pending > 200_000));
        read_exactly(&client, MEGABYTE);
        assert_eq!(next(&told), Told::Low(0));
    }
    writer.close();
    assert_eq!(rest(&told), []);
}

#[test]
fn a_connection_that_is_ending_hears_of_no_crossing() {
    let (_server, addr, told) = scripted(
        |cx| {
            cx.set_watermarks(0, 1000);
            cx.write(&[7; MEGABYTE])?;
            Ok(Action::Close)
        },
        keep,
    );
    assert_eq!(common::read_to_end(&connect(addr)).len(), MEGABYTE);
    assert_eq!(rest(&told), []);
}

/// Reads no faster than its peer does.
struct Polite {
    most: Sender<usize>,
    pending: usize,
}

const LOW: usize = 64 * 1024;
const HIGH: usize = 512 * 1024;

impl EvHandler for Polite {
    fn on_open(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_watermarks(LOW, HIGH);
        Ok(Action::Keep)
    }

    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let action = common::send_back(cx)?;
        self.pending = self.pending.max(cx.pending_output());
        Ok(action)
    }

    fn on_write_high(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::NONE)?;
        Ok(Action::Keep)
    }

    fn on_write_low(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        cx.set_interest(Interest::READABLE)?;
        Ok(Action::Keep)
    }

    fn on_close(&mut self, _: &mut EvContext<'_>, _: corepoll::CloseReason) {
        let _ = self.most.send(self.pending);
    }
}

/// The `index`-th byte of the stream.
fn byte(index: usize) -> u8 {
    (index.wrapping_mul(2_654_435_761) >> 13) as u8
}

#[test]
fn an_echo_that_obeys_them_keeps_little_of_64_megabytes_and_loses_nothing() {
    const TOTAL: usize = 64 * MEGABYTE;
    let (most, told) = channel();
    let (_server, addr) = Server::of_handlers(move || Polite { most: most.clone(), pending: 0 });
    let client = connect(addr);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = 0;
            while next < TOTAL {
                let bytes: Vec<u8> = (next..TOTAL.min(next + 100_000)).map(byte).collect();
                (&client).write_all(&bytes).expect("the server reads");
                next += bytes.len();
            }
            client.shutdown(std::net::Shutdown::Write).expect("it is connected");
        });
        let (mut next, mut buffer) = (0, vec![0; 50_000]);
        loop {
            let count = common::read_some(&client, &mut buffer);
            if count == 0 {
                break;
            }
            let is_right = buffer[..count].iter().enumerate().all(|(i, &b)| b == byte(next + i));
            assert!(is_right, "in the bytes from {next} on");
            next += count;
        }
        assert_eq!(next, TOTAL);
    });
    let most = told.recv_timeout(PATIENCE).expect("on_close is called");
    // One chunk may pass the mark before the handler can stop it.
    assert!(most <= HIGH + 64 * 1024, "{most} bytes were queued");
}
