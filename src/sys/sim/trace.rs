//! What happened in a simulation, in order.

use std::hash::Hasher;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceLine {
    /// When, in nanoseconds of the simulation.
    pub(crate) at: u64,
    /// The number of the host where it happened.
    pub(crate) host: usize,
    /// What it was.
    pub(crate) text: String,
}

/// The trace: a hash of all that happened, and the lines if they are wanted.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The hash of what happened so far.
    hash: std::hash::DefaultHasher,
    /// The number of lines so far.
    steps: u64,
    /// The lines, or `None` if only their hash is kept.
    lines: Option<Vec<TraceLine>>,
}

impl Trace {
    /// Keeps the lines from now on.
    pub(super) fn keep_lines(&mut self) {
        self.lines.get_or_insert_default();
    }

    /// Adds a line.
    pub(super) fn add(&mut self, at: u64, host: usize, text: std::fmt::Arguments<'_>) {
        self.steps += 1;
        self.hash.write_u64(at);
        self.hash.write_usize(host);
        match &mut self.lines {
            Some(lines) => {
                let text = text.to_string();
                self.hash.write(text.as_bytes());
                lines.push(TraceLine { at, host, text });
            }
            None => {
                // Formatted piece by piece into the hash, which allocates nothing.
                let _ = std::fmt::write(&mut HashText(&mut self.hash), text);
            }
        }
    }

    /// Returns the number of lines so far.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the hash of what happened so far.
    pub(super) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    /// Returns the lines that were kept.
    pub(super) fn lines(&self) -> &[TraceLine] {
        self.lines.as_deref().unwrap_or_default()
    }
}

/// Hashes what is written to it.
struct HashText<'a>(&'a mut std::hash::DefaultHasher);

impl std::fmt::Write for HashText<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
