//! A host that nothing else needs, with relays that are cut or must live, and listeners without descriptors. Both ends
//! of each connection are there: what must have arrived is known to the byte, and what must happen to the turn.

use std::io;
use std::time::Duration;

use corepoll::Reactor;
use fastrand::Rng;

use crate::actors::{cut_relays, live_relays, room};
use crate::model::{model, now};
use crate::plan::{Plan, one_in};

/// Its name.
pub const HOST: &str = "annex";

/// How long a reactor of it has to end.
const GRACE: Duration = Duration::from_secs(10);

impl Plan {
    /// Returns `true` if the host is there. Where calls lack descriptors or watches by chance, any part of what it does
    /// may be missing.
    pub fn has_annex(&self) -> bool {
        !self.lacks_descriptors && !self.lacks_watches && one_in(&mut self.annex_rng(), 4)
    }

    /// Returns the chance of this host, which is its own: what is drawn here changes no other part of the program.
    fn annex_rng(&self) -> Rng {
        Rng::with_seed(self.seed ^ 0x0061_6e6e_6578)
    }
}

/// Plays some scenes, one after the other, each on a reactor of its own.
///
/// # Errors
///
/// Returns what the reactors and the listeners return.
pub async fn run() -> io::Result<()> {
    let model = model();
    let mut rng = model.plan.annex_rng();
    for _ in 0..rng.u32(1..=3) {
        let reactor = Reactor::builder().pollers(1).build()?;
        let running = reactor.start()?;
        let handle = running.handle();
        match rng.u32(0..3) {
            0 => cut_relays::play(&handle, &mut rng).await?,
            1 => live_relays::play(&handle, &mut rng).await?,
            // What fails by chance would need the descriptor that is freed.
            _ if model.plan.fails_to_accept || model.plan.resets => {}
            _ => room::play(&handle, &mut rng).await?,
        }
        let begun = now();
        handle.shutdown(GRACE);
        running.join()?;
        model.check_prompt("the end of a reactor without connections", now() - begun);
    }
    Ok(())
}
