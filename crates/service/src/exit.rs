//! Exit codes, and the one clear line of a program that gives up.

use std::process::ExitCode;

use crate::settings::Effective;

/// Bad configuration (`EX_CONFIG` of sysexits.h).
pub const CONFIG: u8 = 78;

/// Anything else that went wrong.
pub const FAILURE: u8 = 1;

/// Says on standard error what went wrong, one line per line of `problem`, and gives the code.
#[expect(clippy::print_stderr, reason = "the last words of a program, before or after logging")]
pub fn fail(code: u8, program: &str, problem: &impl std::fmt::Display) -> ExitCode {
    crate::telemetry::flush();
    for line in problem.to_string().lines() {
        eprintln!("{program}: {line}");
    }
    ExitCode::from(code)
}

/// Prints the settings in force, secrets masked: what `config` of each program does.
pub fn show(settings: &Effective) -> ExitCode {
    say(settings.to_string().trim_end());
    ExitCode::SUCCESS
}

/// Prints a line of a program's result on standard output. A reader that has gone away, as in
/// `program | head -1`, is no reason to panic.
pub fn say(line: impl std::fmt::Display) {
    use std::io::Write;
    let _reader_gone = writeln!(std::io::stdout(), "{line}");
}
