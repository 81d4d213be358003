//! Guides: which crates of the ecosystem run here and how, and for users of tokio and of goev the
//! counterpart of each name, and what differs. There are only pages in here, no code.

#[doc = include_str!("bringing_a_crate.md")]
pub mod bringing_a_crate {}

#[doc = include_str!("from_tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("from_goev.md")]
pub mod from_goev {}
