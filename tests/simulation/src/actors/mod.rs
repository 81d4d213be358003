//! What the programs of a simulation are made of.

pub mod answers;
pub mod computing;
pub mod datagrams;
pub mod echo_handler;
pub mod echo_task;
pub mod handler_timers;
pub mod pool_task;
pub mod relay;
pub mod task_timers;
pub mod tasks;
