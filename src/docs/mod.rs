//! Guides for those who come from elsewhere: how each thing is said here. There is no code in it.

#[doc = include_str!("from_tokio.md")]
pub mod from_tokio {}

#[doc = include_str!("from_goev.md")]
pub mod from_goev {}
