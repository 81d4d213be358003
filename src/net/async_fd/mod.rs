//! Any descriptor that epoll accepts, for tasks.

// In the order in which the page of the type shows their methods: the docs follow the modules.
mod descriptor;
mod readiness;

pub use descriptor::AsyncFd;
