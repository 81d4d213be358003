//! What happened in a simulation, in order.

use std::hash::Hasher;

use super::id::HostId;

/// Something that a picture of the trace shows, with the time when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A packet has come to its end, or was lost.
    Packet {
        /// When it was sent, in nanoseconds since the start.
        sent: u64,
        /// The host that sent it.
        from: HostId,
        /// The host that it was sent to.
        to: HostId,
        /// What it was, if it has no bytes.
        what: &'static str,
        /// The number of its bytes.
        bytes: usize,
        /// Whether it was lost.
        is_lost: bool,
    },
    /// From now on something holds: that a host is down, or that the link between two is cut.
    Begin(&'static str, HostId, HostId),
    /// It holds no longer.
    End(&'static str, HostId, HostId),
    /// A program has said something, or the simulation fails by it.
    Said {
        /// The host.
        host: HostId,
        /// What was said.
        text: String,
        /// Whether the simulation fails by it.
        is_fault: bool,
    },
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceLine {
    /// When, in nanoseconds since the start.
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
    /// What a picture shows, and when it was, if the lines are kept.
    marks: Vec<(u64, Mark)>,
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

    /// Adds something that a picture shows, if the lines are kept.
    pub(super) fn mark(&mut self, at: u64, mark: impl FnOnce() -> Mark) {
        if self.lines.is_some() {
            self.marks.push((at, mark()));
        }
    }

    /// Returns what a picture shows, and when it was.
    pub(super) fn marks(&self) -> &[(u64, Mark)] {
        &self.marks
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
