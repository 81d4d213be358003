//! The sources themselves: how they are laid out, and what their documentation holds.

/// What ARCHITECTURE.md names is where it says.
mod architecture;
/// Each public item has an example that runs, and says how it fails.
mod documented;
/// What the page on the crates of the ecosystem names is tested, in the version that it names.
mod ecosystem;
/// What README shows is there, and runs.
mod front_door;
/// The language of the docs, as far as a test can hold it.
mod language;
/// A file imports from floors below its own, and unsafe code stays in its rooms.
mod layers;
