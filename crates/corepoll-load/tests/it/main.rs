//! Runs `corepoll-load` against servers of the standard library, which count what they are asked.

mod loads;
mod server;
