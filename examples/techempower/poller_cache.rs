//! What the connections of one poller share.

use std::mem;
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corepoll::{shutdown_requested, time, with_local};
use futures::future;

use crate::http::DateField;

/// Reached through `with_local`: each poller has its own, and needs no lock for it.
#[derive(Debug)]
pub struct PollerCache {
    /// The Date field of every answer, at most a second old.
    date: DateField,
    /// The buffer that answers are collected in. A connection holds it only while it is being
    /// served, so that idle ones have no buffer. Grows to what the fullest read asked for.
    output: Vec<u8>,
}

impl PollerCache {
    /// The Date field, and an empty buffer, which is to be given back.
    pub fn lend(&mut self) -> (DateField, Vec<u8>) {
        (self.date, mem::take(&mut self.output))
    }

    /// Takes the buffer back.
    pub fn take_back(&mut self, mut output: Vec<u8>) {
        output.clear();
        self.output = output;
    }

    /// Reads the clock.
    fn refresh(&mut self) {
        self.date = current_date();
    }
}

impl Default for PollerCache {
    fn default() -> PollerCache {
        PollerCache { date: current_date(), output: Vec::new() }
    }
}

/// Once a second, until the reactor shuts down: so that no request has to read the clock.
pub async fn keep_date_fresh() {
    let ticking = pin!(async {
        let mut seconds = time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            with_local(PollerCache::refresh);
        }
    });
    future::select(ticking, pin!(shutdown_requested())).await;
}

/// The Date field for this second.
fn current_date() -> DateField {
    // If the clock is set to a time before 1970, the field says 1970.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DateField::at(since_epoch.as_secs())
}
