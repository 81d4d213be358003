//! A workload that drives all of corepoll on its simulated kernel, with a model beside it.
//!
//! A seed stands for a [`plan`]: a program, and what goes wrong while it runs. A [`run`] carries it
//! out, while the [`model`] watches: no byte is lost, doubled, out of order or of another
//! connection; every handler is opened and closed once; nothing that is ready waits for longer than
//! a turn; no timer is early or lost; and at the end nothing is left.
//!
//! | file | what it holds |
//! |---|---|
//! | `bytes` | bytes that say which stream they belong to |
//! | `plan` | what a seed stands for |
//! | `model` | what must be true |
//! | `actors` | what the programs are made of |
//! | `client`, `server` | the programs |
//! | `run`, `sweep` | one seed, and many |

pub mod actors;
pub mod bytes;
pub mod client;
#[path = "../../common/counting.rs"]
pub mod counting;
pub mod model;
pub mod plan;
pub mod run;
pub mod server;
pub mod sweep;

/// What is allocated is counted, so that what a program leaves behind is seen.
#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;
