//! Exit codes, and the last lines of a program.

use std::process::ExitCode;

use crate::settings::Effective;

/// Bad configuration (`EX_CONFIG` of sysexits.h).
pub const CONFIG: u8 = 78;

/// Any other failure.
pub const FAILURE: u8 = 1;

/// Prints what went wrong on standard error, with the program's name before each line, and returns the
/// exit code.
#[expect(clippy::print_stderr, reason = "the last lines of a program, before or after logging")]
pub fn fail(code: u8, program: &str, problem: &impl std::fmt::Display) -> ExitCode {
    crate::telemetry::flush();
    for line in problem.to_string().lines() {
        eprintln!("{program}: {line}");
    }
    ExitCode::from(code)
}

/// Prints the effective settings, secrets masked, then `notes` as comments, and the warnings on standard
/// error: the subcommand `config` of each program.
#[expect(clippy::print_stderr, reason = "standard output holds the settings and nothing else")]
pub fn show(settings: &Effective, notes: &[String]) -> ExitCode {
    for warning in &settings.warnings {
        eprintln!("warning: {warning}");
    }
    say(settings.to_string().trim_end());
    for note in notes {
        say(format_args!("# {note}"));
    }
    ExitCode::SUCCESS
}

/// Prints a warning on standard error.
#[expect(clippy::print_stderr, reason = "standard output holds the result and nothing else")]
pub fn warn(warning: &str) {
    eprintln!("warning: {warning}");
}

/// Prints a line of a program's result on standard output. Does not panic when the reader has closed
/// the pipe, as in `program | head -1`.
pub fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}
