//! What else a seed stands for: programs of the server that no client takes part in, each of which is in
//! few seeds.

use corepoll::{ReactorHandle, RemoteJoinHandle};
use fastrand::Rng;

use crate::actors::flood::flood;
use crate::actors::reconnect::keep_connected;
use crate::actors::relisten::listen_again;
use crate::model::model;
use crate::plan::{End, Service, TalkPlan, one_in};

/// The first of the ports that they listen at, one for each poller.
const FIRST_PORT: u16 = 1300;

/// The most bytes of a client before it insists. They leave room in the queue of a server that does not read:
/// where there is none the kernel tells nothing before a write is tried, and a relay waits for room.
const MOST_BYTES: usize = 10_000;

/// Which of them a program has.
#[derive(Debug, Clone)]
pub struct Chores {
    /// Whether a task on each poller listens at an address, closes, and listens there again.
    pub relists: bool,
    /// Whether a client of the server's own connects again and again.
    pub reconnects: bool,
    /// Whether a flood is read beside a neighbour.
    pub floods: bool,
}

impl Chores {
    /// Draws them.
    pub fn draw(seed: u64) -> Chores {
        // Of its own: what is drawn here changes nothing of what is drawn elsewhere.
        let mut rng = Rng::with_seed(seed ^ 0x0063_686f_7265_7300);
        Chores {
            relists: one_in(&mut rng, 12),
            reconnects: one_in(&mut rng, 20),
            floods: one_in(&mut rng, 20),
        }
    }
}

/// Draws which clients of a server that does not read insist.
pub fn draw_insistence(seed: u64, talks: &mut [TalkPlan]) {
    let mut rng = Rng::with_seed(seed ^ 0x696e_7369_7374);
    for talk in talks.iter_mut().filter(|talk| talk.service == Service::DeafEnd) {
        if rng.bool() {
            talk.end = End::Insist;
            talk.length = talk.length.min(MOST_BYTES);
            talk.chunk = talk.chunk.min(MOST_BYTES);
        }
    }
}

/// Starts what the program has of them, on the pollers of the server.
pub fn start(reactor: &ReactorHandle) -> Vec<RemoteJoinHandle<()>> {
    let plan = &model().plan;
    let mut rng = Rng::with_seed(!plan.seed);
    let mut tasks = Vec::new();
    for (poller, port) in reactor.pollers().iter().zip(FIRST_PORT..) {
        if plan.chores.relists {
            let (reactor, rng) = (reactor.clone(), rng.fork());
            tasks.push(poller.spawn_on(move || listen_again(reactor, port, rng)));
        }
        if plan.chores.floods {
            let rng = rng.fork();
            tasks.push(poller.spawn_on(move || flood(rng)));
        }
    }
    if plan.chores.reconnects {
        let poller = &reactor.pollers()[rng.usize(0..reactor.pollers().len())];
        let (reactor, rng) = (reactor.clone(), rng.fork());
        tasks.push(poller.spawn_on(move || keep_connected(reactor, rng)));
    }
    tasks
}
