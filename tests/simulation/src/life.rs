//! The life of a handler: which callbacks are called, and in which order.

use std::cell::Cell;

use corepoll::{Action, CloseReason};

use crate::model::{Incoming, model, try_model};

/// The life of a handler: opened once, then closed once or taken over by a task.
#[derive(Debug)]
pub struct Life {
    /// What it is.
    who: &'static str,
    /// Where it is.
    state: Cell<LifeState>,
    /// Whether it was told of the shutdown.
    is_told: Cell<bool>,
}

/// Where the life of a handler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LifeState {
    /// It was made.
    Made,
    /// `on_open` was called.
    Open,
    /// A callback has asked for the end.
    Closing,
    /// `on_close` was called, or a task has taken its connection.
    Over,
}

impl Life {
    /// Begins the life of a handler.
    pub fn begin(who: &'static str) -> Life {
        Life { who, state: Cell::new(LifeState::Made), is_told: Cell::new(false) }
    }

    /// `on_open` is called.
    pub fn open(&self) {
        self.pass(LifeState::Made, LifeState::Open, "opened");
    }

    /// A callback other than `on_open` is called.
    pub fn live(&self) {
        self.pass(LifeState::Open, LifeState::Open, "called");
    }

    /// A callback returns `Action::Close`, after which only `on_close` is called.
    pub fn close(&self) -> Action {
        self.pass(LifeState::Open, LifeState::Closing, "closed");
        Action::Close
    }

    /// `on_shutdown` is called: once, and when there is a shutdown.
    pub fn shut_down(&self) {
        self.live();
        if self.is_told.replace(true) || !model().has_shutdown() {
            model().violated(format_args!("{} was told of a shutdown too often", self.who));
        }
    }

    /// Returns `true` if it is open.
    pub fn is_open(&self) -> bool {
        self.state.get() == LifeState::Open
    }

    /// `on_close` is called.
    pub fn end_by(&self, reason: &CloseReason) {
        if matches!(reason, CloseReason::Shutdown) && !self.is_told.get() {
            model().violated(format_args!("{} was not told of the shutdown", self.who));
        }
        self.end();
    }

    /// `on_close` is called, or a task takes the connection over.
    pub fn end(&self) {
        if self.state.get() == LifeState::Closing {
            self.state.set(LifeState::Over);
        } else {
            self.pass(LifeState::Open, LifeState::Over, "closed");
        }
    }

    /// `on_close` is called for the connection of `incoming`, which has come to its end or may break.
    pub fn end_whole(&self, is_over: bool, incoming: &Incoming, reason: &CloseReason) {
        self.end();
        let Some(id) = incoming.id() else { return };
        if !is_over && !model().may_break(id) {
            let (who, at) = (self.who, incoming.position);
            model().violated(format_args!("connection {id} with {who} ends at {at}: {reason}"));
        }
    }

    /// Goes from one state to the next.
    fn pass(&self, from: LifeState, to: LifeState, what: &str) {
        let state = self.state.replace(to);
        if state != from {
            model().violated(format_args!("{} was {what} while it was {state:?}", self.who));
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if matches!(self.state.get(), LifeState::Open | LifeState::Closing)
            && let Some(model) = try_model()
        {
            model.violated(format_args!("{} was dropped without on_close", self.who));
        }
    }
}
