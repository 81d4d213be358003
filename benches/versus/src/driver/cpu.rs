//! User CPU time a request. The servers run side by side and have their turns A B C A B C, each
//! with the same number of requests; a ratio is taken against the first peer.
//!
//! With perf the time comes from its samples, without (or by `--ticks`) from `/proc`, which takes
//! many times as many requests to say as much. Either counts a little of the kernel as user time,
//! for all peers alike: an interrupt that is due while the kernel leaves a system call strikes at
//! the first instruction behind it. The ratio of the sums is the figure; the lowest and the highest
//! of a single round tell how far to trust it.

use super::process::{Load, Server, Work};
use super::sampler::Sampler;
use super::{Plan, table};
use crate::args::Error;
use crate::peers::Peer;
use crate::protocol::Kind;

/// Before every measured round: caches and branch predictors meet the peer again.
const WARMUP: u64 = 5_000;

/// One peer and what its rounds took.
struct Contender {
    peer: Peer,
    server: Server,
    /// User and system seconds, a round each.
    rounds: Vec<(f64, f64)>,
}

/// Prints the table.
pub(super) fn measure(plan: &Plan) -> Result<(), Error> {
    let requests = plan.requests.unwrap_or(400_000);
    let work = Work { warmup: WARMUP, requests, ..plan.work(Kind::Plaintext, 64) };
    let sampler = if plan.ticks { None } else { Sampler::new() };
    let start = |peer: Peer| {
        let server = Server::start(&[], peer, work.protocol)?;
        Ok(Contender { peer, server, rounds: Vec::new() })
    };
    let peers = plan.peers(|peer| peer != Peer::TokioShared);
    let mut contenders: Vec<_> = peers.into_iter().map(start).collect::<Result<_, Error>>()?;
    for _ in 0..plan.rounds {
        for contender in &mut contenders {
            let seconds = match &sampler {
                Some(sampler) => contender.sampled_turn(&work, sampler)?,
                None => contender.ticked_turn(&work)?,
            };
            contender.rounds.push(seconds);
        }
    }
    print(&contenders, plan.unit(), requests);
    contenders.into_iter().try_for_each(|contender| contender.server.stop())
}

impl Contender {
    /// A round by perf. It also samples the connecting and the warm-up, a percent of the whole.
    fn sampled_turn(&self, work: &Work, sampler: &Sampler) -> Result<(f64, f64), Error> {
        let mut load =
            Load::start(&sampler.wrapper(&self.server.pid.to_string()), self.server.addr, work)?;
        load.ask()?;
        load.end()?;
        sampler.seconds()
    }

    /// A round by the kernel's account.
    fn ticked_turn(&self, work: &Work) -> Result<(f64, f64), Error> {
        let mut load = Load::start(&[], self.server.addr, work)?;
        let (user_before, system_before) = self.server.cpu_seconds()?;
        load.ask()?;
        let (user, system) = self.server.cpu_seconds()?;
        load.end()?;
        Ok((user - user_before, system - system_before))
    }

    /// User and system seconds of all rounds.
    fn sums(&self) -> (f64, f64) {
        self.rounds.iter().fold((0.0, 0.0), |(u, s), (user, system)| (u + user, s + system))
    }
}

fn print(contenders: &[Contender], unit: &str, requests: u64) {
    let first = &contenders[0];
    let heading = ["user ns", "system ns", "user ratio", "lowest", "highest"];
    let mut rows = vec![table::row(unit, heading.map(str::to_owned))];
    for contender in contenders {
        let (user, system) = contender.sums();
        let all_requests = requests as f64 * contender.rounds.len() as f64;
        let nanos = |seconds: f64| format!("{:.0}", seconds * 1e9 / all_requests);
        let ratio = user / first.sums().0;
        let pairs = contender.rounds.iter().zip(&first.rounds);
        let ratios: Vec<f64> = pairs.map(|((user, _), (base, _))| user / base).collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(0.0, f64::max);
        let ratios = [ratio, lowest, highest].map(|ratio| format!("{ratio:.2}"));
        let cells = [nanos(user), nanos(system)].into_iter().chain(ratios);
        rows.push(table::row(contender.peer.name(), cells));
    }
    table::print(&rows);
}
