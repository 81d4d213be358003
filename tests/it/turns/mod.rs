//! The turn of the loop: what is looked at, how soon, and what is said of it.

/// Events, timers and mail are looked at after a slice of time, in the right order.
mod fair_turns;
/// What goes on for ever leaves turns to the others.
mod fairness;
/// A poller without a thread says when it wants a turn, and does all there is to do.
mod local_poller;
/// No event is lost, no waiter is kept too long, and waiting is free.
mod notices;
/// An event for something that is closed reaches nothing.
mod stale_events;
/// What holds a poller up is reported, and nothing else is.
mod stall_watch;
/// A reactor's numbers are true.
mod stats;
