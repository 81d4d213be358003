//! What objects and hosts are known by.

/// The number of a host of the simulation.
pub(crate) type HostId = usize;

/// The number of an object. None is used twice, so that what is looked up late is not taken for
/// what came after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(pub(super) u64);

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.0)
    }
}
