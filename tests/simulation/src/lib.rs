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
//! | `timing` | its part that is about time: budgets, pauses, limits |
//! | `model`, `life` | what must be true, and of the callbacks of a handler |
//! | `attention` | programs that wait for something to read |
//! | `early` | what is known of servers that end first |
//! | `errors` | the numbers of errors |
//! | `chores` | programs of the server that no client takes part in |
//! | `actors` | what the programs are made of |
//! | `client`, `server` | the programs |
//! | `annex` | a host whose connections are known from both ends |
//! | `cuts` | what a shutdown may end |
//! | `crashes` | hosts that crash and come back, and what that may break |
//! | `run`, `sweep` | one seed, and many |

pub mod actors;
pub mod annex;
pub mod attention;
pub mod bytes;
pub mod chores;
pub mod client;
#[path = "../../common/counting.rs"]
pub mod counting;
pub mod crashes;
pub mod cuts;
pub mod early;
pub mod errors;
pub mod life;
pub mod model;
pub mod plan;
pub mod run;
pub mod server;
pub mod sweep;
pub mod timing;

/// What is allocated is counted, so that what a program leaves behind is seen.
#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;
