//! Guides: which crates of the ecosystem run here and how, and for users of tokio and of goev the
//! counterpart of each name, and what differs. With the feature `sim`, how a server is tested by
//! simulation. There are only pages in here, no code.

#[doc = include_str!("bringing_a_crate.md")]
pub mod bringing_a_crate {}

#[doc = include_str!("from_tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("from_goev.md")]
pub mod from_goev {}

#[cfg(feature = "sim")]
#[doc = include_str!("testing_by_simulation.md")]
pub mod testing_by_simulation {}
