//! What do the kernel's options bring that are off by default, or not used? Each question is measured
//! with the option and without, in turn, in one run.
//!
//! ```sh
//! cargo bench --bench kernel                # every question
//! cargo bench --bench kernel -- fast_open   # one of them
//! ```
//!
//! | question | what it asks | in |
//! |---|---|---|
//! | `busy_poll` | How long is a round trip to a poller that looks at the device before it sleeps? | a network of its own |
//! | `fast_open` | What does a client gain that sends its first bytes with the SYN? | a network of its own |
//! | `placement` | What is it worth that the kernel chooses the poller on the client's processor? | the machine's network |
//! | `zero_copy` | What would MSG_ZEROCOPY save, which corepoll doesn't use? | a network of its own |
//!
//! Absolute times say little on a shared machine: compare the two columns. A question that needs a
//! network namespace says so where this user may not have one.

mod busy_poll;
mod fast_open;
mod network;
mod placement;
mod zero_copy;

use std::io;

use corepoll::{Action, EvContext, EvHandler};

/// The server of all questions.
struct Echo;

impl EvHandler for Echo {
    fn on_read(&mut self, cx: &mut EvContext<'_>) -> io::Result<Action> {
        let data = cx.read()?;
        if data.is_empty() {
            return Ok(Action::Close);
        }
        cx.write(&data)?;
        Ok(Action::Keep)
    }
}

/// A question, and how it is asked.
struct Question {
    name: &'static str,
    /// Measures, and prints what came of it. With `true` it only shows that it runs.
    ask: fn(bool) -> io::Result<()>,
    /// Whether it changes the network, and so needs one of its own.
    changes_network: bool,
}

const QUESTIONS: [Question; 4] = [
    Question { name: "busy_poll", ask: busy_poll::ask, changes_network: true },
    Question { name: "fast_open", ask: fast_open::ask, changes_network: true },
    Question { name: "placement", ask: placement::ask, changes_network: false },
    Question { name: "zero_copy", ask: zero_copy::ask, changes_network: true },
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench -- --test` asks whether it runs.
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let names: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let own = network::question();
    for question in QUESTIONS {
        let is_asked = names.is_empty() || names.iter().any(|name| **name == question.name);
        let is_here = own.as_deref().is_none_or(|name| name == question.name);
        if !is_asked || !is_here {
            continue;
        }
        let answered = if question.changes_network && own.is_none() {
            network::ask_in_own_network(question.name)
        } else {
            (question.ask)(is_test)
        };
        if let Err(error) = answered {
            println!("{}: can't be measured here: {error}", question.name);
            if own.is_some() {
                std::process::exit(1);
            }
        }
    }
}

/// Returns the value at `share` of `values`, from 0 to 1.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share) as usize]
}
