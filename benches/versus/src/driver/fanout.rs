//! CPU time of a message to many, for each of them: the server sends a message to all its
//! listeners, and the next one when all have it. The servers run side by side and take turns: A B C
//! A B C.
//!
//! The time is the kernel's account of the whole process, of the thread that hands the message over
//! and of the loop that sends it. Most of it is the send itself, which is the same for all: what a
//! peer adds is its distance to `bare`, which hands nothing over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use super::process::{LOAD_CPU, SERVER_CPU, command, cpu_seconds, pin_args, spawn};
use super::{Plan, table};
use crate::args::{Error, failure};
use crate::fanout::has_room;
use crate::peers::Peer;
use crate::sys;

/// Messages before every measured round.
const WARMUP: u64 = 10;

/// A room with all of its connections.
#[derive(Debug)]
pub(super) struct Room {
    peer: Peer,
    child: Child,
    /// Each byte is a message.
    say: Option<ChildStdin>,
    pub(super) pid: i32,
    listeners: Vec<TcpStream>,
    /// User and system seconds, a round each.
    rounds: Vec<(f64, f64)>,
}

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let (listeners, messages) = (plan.connections.unwrap_or(1000), plan.requests.unwrap_or(300));
    sys::raise_descriptor_limit()?;
    if !pin_args(LOAD_CPU).is_empty() {
        sys::pin_to(LOAD_CPU)?;
    }
    let peers = plan.peers(has_room);
    let open = |peer: Peer| Room::open(peer, listeners, plan.size);
    let mut rooms: Vec<Room> = peers.into_iter().map(open).collect::<Result<_, Error>>()?;
    for _ in 0..plan.rounds {
        for room in &mut rooms {
            room.turn(messages, plan.size)?;
        }
    }
    print(&rooms, messages as f64 * listeners as f64);
    rooms.into_iter().try_for_each(Room::close)
}

impl Room {
    pub(super) fn open(peer: Peer, listeners: usize, size: usize) -> Result<Room, Error> {
        let mut room = command(&[])?;
        room.args(["room", "--peer", peer.name()]);
        room.args(["--listeners", &listeners.to_string(), "--size", &size.to_string()]);
        room.args(pin_args(SERVER_CPU)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut room)?;
        let (say, out) = (child.stdin.take(), child.stdout.take());
        let mut room = Room { peer, child, say, pid: 0, listeners: Vec::new(), rounds: Vec::new() };
        let mut lines = BufReader::new(out.ok_or_else(|| failure("no stdout"))?).lines();
        let mut next = || lines.next().ok_or_else(|| failure("the room did not open"));
        let addr = next()??;
        room.pid = next()??.parse()?;
        for _ in 0..listeners {
            let listener = TcpStream::connect(&addr)?;
            listener.set_read_timeout(Some(Duration::from_secs(10)))?;
            room.listeners.push(listener);
        }
        next()??;
        Ok(room)
    }

    /// Has the messages said that go before those that are measured.
    pub(super) fn warm_up(&mut self, size: usize) -> Result<(), Error> {
        self.hear(WARMUP, size)
    }

    /// One round, with what it took.
    fn turn(&mut self, messages: u64, size: usize) -> Result<(), Error> {
        self.warm_up(size)?;
        let (user_before, system_before) = cpu_seconds(self.pid)?;
        self.hear(messages, size)?;
        let (user, system) = cpu_seconds(self.pid)?;
        self.rounds.push((user - user_before, system - system_before));
        Ok(())
    }

    /// Has messages said, one after the other, and hears each with every ear.
    pub(super) fn hear(&mut self, messages: u64, size: usize) -> Result<(), Error> {
        let mut buffer = vec![0; size];
        for _ in 0..messages {
            self.say.as_mut().ok_or_else(|| failure("no stdin"))?.write_all(b".")?;
            for mut listener in &self.listeners {
                listener.read_exact(&mut buffer)?;
            }
        }
        Ok(())
    }

    fn sums(&self) -> (f64, f64) {
        self.rounds.iter().fold((0.0, 0.0), |(u, s), (user, system)| (u + user, s + system))
    }

    pub(super) fn close(mut self) -> Result<(), Error> {
        drop(self.say.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(failure(format!("a room ended with {status}"))) }
    }
}

impl Drop for Room {
    /// A measurement that failed leaves no room behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn print(rooms: &[Room], recipients: f64) {
    let total = |(user, system): (f64, f64)| user + system;
    let base = |room: &Room| rooms.iter().find(|it| it.peer == Peer::Bare).unwrap_or(room).sums();
    let heading = ["user ns", "system ns", "sum ns", "beyond bare", "lowest sum", "highest sum"];
    let mut rows = vec![table::row("a recipient", heading.map(str::to_owned))];
    for room in rooms {
        let nanos = |seconds: f64| seconds * 1e9 / recipients;
        let all = nanos(1.0 / room.rounds.len() as f64);
        let sums = room.rounds.iter().map(|round| nanos(total(*round)));
        let (user, system) = room.sums();
        let beyond = total(room.sums()) - total(base(room));
        let cells = [
            user * all,
            system * all,
            total(room.sums()) * all,
            beyond * all,
            sums.clone().fold(f64::INFINITY, f64::min),
            sums.fold(0.0, f64::max),
        ];
        rows.push(table::row(room.peer.name(), cells.map(|cell| format!("{cell:.0}"))));
    }
    table::print(&rows);
}
