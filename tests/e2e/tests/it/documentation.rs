//! The documentation holds: its links lead somewhere, the book builds, and the commands of README,
//! quickstart and guide do what stands there.

mod commands;
mod links;
