//! What every turn has at hand.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::candidate::Candidate;
use super::load::Program;
use super::options::Options;
use crate::args::{Error, failure};
use crate::driver::sampler::Sampler;

/// What every turn has at hand.
#[derive(Debug)]
pub(super) struct Bench {
    /// The servers that are compared.
    candidates: Vec<Candidate>,
    pub(super) load: Program,
    /// How long a turn loads its server.
    pub(super) turn: Duration,
    /// Where the servers write their stderr.
    pub(super) logs: PathBuf,
    /// perf, where it works.
    pub(super) sampler: Option<Sampler>,
    /// What each server does at full speed, in requests a second; the key has its protocol too.
    pub(super) capacities: RefCell<BTreeMap<(String, &'static str), f64>>,
}

impl Bench {
    pub(super) fn new(options: &Options) -> Result<Bench, Error> {
        let logs = options.out.join("logs");
        fs::create_dir_all(&logs)
            .map_err(|error| failure(format!("{}: {error}", logs.display())))?;
        Ok(Bench {
            candidates: options.candidates.clone(),
            load: Program::find(options.load.as_deref())?,
            turn: Duration::ZERO,
            logs,
            sampler: Sampler::new(),
            capacities: RefCell::default(),
        })
    }

    /// The names of the servers.
    pub(super) fn servers(&self) -> Vec<String> {
        self.candidates.iter().map(|candidate| candidate.name.clone()).collect()
    }

    /// The server with a name.
    pub(super) fn candidate(&self, name: &str) -> Result<&Candidate, Error> {
        let found = self.candidates.iter().find(|candidate| candidate.name == name);
        found.ok_or_else(|| failure(format!("no server {name:?}")))
    }
}
