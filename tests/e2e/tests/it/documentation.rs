//! The documentation is correct: its links work, the book builds, and the commands of README and
//! tutorials do what the text says.

mod commands;
mod links;
