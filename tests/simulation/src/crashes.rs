//! A host that crashes and comes back, and what that may break.

use std::io;
use std::time::Duration;

use corepoll::{Deadlines, sim, time};
use fastrand::Rng;

use crate::model::{Model, Stage, model};
use crate::plan::{Plan, TalkPlan, ms};

/// How long a connection may be silent where a host crashes, and its peer never hears of it, or where a client closes
/// what it can't watch, and a relay waits for the other end.
const PATIENCE: Duration = Duration::from_secs(300);

/// A crash of a host.
#[derive(Debug, Clone)]
pub struct CrashPlan {
    /// The host.
    pub host: String,
    /// When it crashes.
    pub at: Duration,
    /// How long it is down.
    pub down: Duration,
}

impl CrashPlan {
    /// Returns `true` if a connection needs the host.
    pub fn concerns(&self, talk: &TalkPlan) -> bool {
        match self.host.as_str() {
            "backend" => talk.service.needs_backend(),
            host => host == client_name(talk.client),
        }
    }
}

/// Returns the name of the host that a client runs on.
pub fn client_name(number: usize) -> String {
    format!("client {number}")
}

impl Plan {
    /// Draws a crash, and the connections that follow those that it breaks.
    pub fn draw_crash(&mut self, rng: &mut Rng) {
        let is_backend = self.needs_backend() && rng.bool();
        let client = rng.usize(0..self.clients);
        let host = if is_backend { "backend".to_owned() } else { client_name(client) };
        let (at, down) = (ms(rng.u64(0..=1500)), ms(rng.u64(1..=3000)));
        self.crash = Some(CrashPlan { host, at, down });
        let followers = self.talks.clone().into_iter();
        self.talks.extend(followers.map(|talk| TalkPlan { panics_at: None, ..talk }));
    }

    /// Returns how long a connection may be silent, if that has a limit.
    pub fn patience(&self) -> Option<Duration> {
        (self.crash.is_some() || self.lacks_watches).then_some(PATIENCE)
    }

    /// Returns the deadlines of each connection.
    pub fn deadlines(&self) -> Deadlines {
        Deadlines { idle: self.patience(), ..Deadlines::default() }
    }

    /// Returns how many connections begin by themselves. Behind each of them stands the one that follows
    /// it if a crash breaks it, where there is a crash.
    pub fn first_talks(&self) -> usize {
        if self.crash.is_some() { self.talks.len() / 2 } else { self.talks.len() }
    }
}

impl Model {
    /// Returns `true` if all clients have ended.
    pub fn clients_have_ended(&self) -> bool {
        self.clients_over.borrow().len() == self.plan.clients
    }

    /// Returns `true` if the program of a host has ended.
    pub fn is_over(&self, host: &str) -> bool {
        let clients = self.clients_over.borrow();
        clients.iter().any(|number| client_name(*number) == host)
            || (host == "backend" && (self.has_ended.get() || self.is_backend_over.get()))
    }

    /// Returns `true` if the programs of all hosts have ended.
    pub fn all_are_over(&self) -> bool {
        self.has_ended.get() && self.is_backend_over.get() && self.clients_have_ended()
    }

    /// A host is down from now on. What is under way to it may break, and so may what begins before it is back.
    fn crash(&self, crash: &CrashPlan) {
        self.is_down.set(true);
        let address = sim::control().address(&crash.host);
        self.forget_attention(address);
        for (id, talk) in self.talks.iter().enumerate() {
            // A client may be over while its kernel still sends to a server that has ended first.
            let is_sending = talk.early.answered.get().is_some();
            let is_under_way = talk.stage.get() == Stage::UnderWay || is_sending;
            if is_under_way && crash.concerns(&talk.plan) {
                self.excuse(id as u32, "a host has crashed");
            }
        }
    }

    /// A connection begins.
    pub fn begin_talk(&self, id: u32) {
        let talk = &self.talks[id as usize];
        talk.stage.set(Stage::UnderWay);
        let crash = self.plan.crash.as_ref().filter(|_| self.is_down.get());
        if crash.is_some_and(|crash| crash.concerns(&talk.plan)) {
            self.excuse(id, "a host is down");
        }
    }

    /// Returns the connection that is made for one that was to begin, if one is: that itself, or the one that
    /// follows it where a crash has broken it.
    pub fn next_attempt(&self, id: u32) -> Option<u32> {
        let follower = id as usize + self.plan.first_talks();
        let stage = |id: usize| self.talks.get(id).map_or(Stage::Over, |talk| talk.stage.get());
        match (stage(id as usize), stage(follower)) {
            (Stage::Planned, _) => Some(id),
            (Stage::UnderWay | Stage::Broken, Stage::Planned) => Some(follower as u32),
            _ => None,
        }
    }
}

/// Crashes the host that is to crash, unless its program is over, and waits until all programs are.
///
/// # Errors
///
/// It has none: what goes wrong is told to the model.
pub async fn run() -> io::Result<()> {
    let model = model();
    if let Some(crash) = &model.plan.crash {
        time::sleep(crash.at).await;
        if !model.is_over(&crash.host) {
            model.crash(crash);
            sim::control().crash(&crash.host);
            time::sleep(crash.down).await;
            model.is_down.set(false);
            sim::control().restart(&crash.host);
        }
    }
    while !model.all_are_over() {
        time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
