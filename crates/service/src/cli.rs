//! Subcommands that every program has: shell completions and manual pages.
//!
//! A program flattens [`About`] into its subcommands and handles it with [`About::run`].

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Command, CommandFactory, Subcommand, ValueEnum, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::exit;

/// The subcommands about the command line itself.
#[derive(Debug, Clone, Subcommand)]
pub enum About {
    /// Print a script that completes this program's arguments in a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print this program's manual page, or write all of its pages.
    Man {
        /// Write the page, and one for each subcommand, as files into this directory.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// A shell with support for completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// Fish.
    Fish,
}

impl About {
    /// Runs the subcommand, for the command line of the program `P`.
    pub fn run<P: CommandFactory>(self) -> ExitCode {
        let command = P::command();
        let program = command.get_name().to_owned();
        match self {
            Self::Completions { shell } => print(&program, &completions(command, shell)),
            Self::Man { dir: None } => match page(&built(command)) {
                Ok(page) => print(&program, &page),
                Err(error) => exit::fail(exit::FAILURE, &program, &error),
            },
            Self::Man { dir: Some(dir) } => match pages(command, &dir) {
                Ok(files) => {
                    for file in files {
                        exit::say(file.display());
                    }
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    let what = format!("{} cannot be written to: {error}", dir.display());
                    exit::fail(exit::FAILURE, &program, &what)
                }
            },
        }
    }
}

/// Prints all bytes. A reader that has closed the pipe is not a failure.
fn print(program: &str, bytes: &[u8]) -> ExitCode {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            exit::fail(exit::FAILURE, program, &error)
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The command with what clap adds, and without the subcommand `help`, which needs no page.
fn built(command: Command) -> Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

/// A command, and all below it.
fn with_subcommands(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(with_subcommands);
    std::iter::once(command).chain(below).collect()
}

/// Writes the page of a program and of each of its subcommands.
fn pages(command: Command, dir: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir)?;
    let command = built(command);
    with_subcommands(&command)
        .into_iter()
        .map(|command| {
            let file = dir.join(Man::new(command.clone()).get_filename());
            std::fs::write(&file, page(command)?)?;
            Ok(file)
        })
        .collect()
}

/// One page in roff.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    // An empty date, for reproducible pages. clap_mangen would leave the field out, and the next one
    // would take its place.
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    writeln!(page, ".TH \"{title}\" 1 \"\" \"wombat {version}\" \"Wombat\"")?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let mut options = Vec::new();
    man.render_options_section(&mut options)?;
    // The spacing before a list of values, in roff.
    let options = String::from_utf8_lossy(&options).replace("\n.br\n\n.br\n", "\n.sp\n");
    page.extend_from_slice(options.as_bytes());
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(notes) = command.get_after_help() {
        notes_section(&notes.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// The text below the help. It is laid out in columns, so its lines are kept.
fn notes_section(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["NOTES"]);
    for (n, paragraph) in text.split("\n\n").enumerate() {
        if n > 0 {
            roff.control("PP", []);
        }
        roff.control("nf", []);
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    /// Tries things.
    #[derive(Parser)]
    #[command(name = "wombat-try", version, after_help = "Exit codes:\n  0  good\n\nThe end.")]
    struct Try {
        /// How it is tried.
        #[arg(long, value_enum)]
        shell: Option<Shell>,
        #[command(subcommand)]
        command: Option<Commands>,
    }

    #[derive(Subcommand)]
    enum Commands {
        #[command(flatten)]
        About(About),
    }

    #[test]
    fn a_script_completes_flags_subcommands_and_values() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(completions(Try::command(), shell)).unwrap();
            for word in ["wombat-try", "shell", "completions", "man", "zsh"] {
                assert!(script.contains(word), "{shell:?} knows no {word}");
            }
        }
        let parsed = Try::parse_from(["wombat-try", "--shell", "zsh", "completions", "fish"]);
        assert_eq!(parsed.shell, Some(Shell::Zsh));
        let Some(Commands::About(About::Completions { shell })) = parsed.command else {
            panic!("completions is not understood")
        };
        assert_eq!(shell, Shell::Fish);
    }

    #[test]
    fn a_page_keeps_the_lines_of_the_notes() {
        let page = String::from_utf8(page(&built(Try::command())).unwrap()).unwrap();
        assert!(page.contains(".TH \"WOMBAT-TRY\" 1 \"\""), "{page}");
        assert!(
            page.contains(".SH NOTES\n.nf\nExit codes:\n  0  good\n.fi\n.PP\n.nf\nThe end.\n.fi"),
            "{page}"
        );
    }

    #[test]
    fn each_subcommand_has_a_page_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("man1");
        let mut files: Vec<_> = pages(Try::command(), &dir)
            .unwrap()
            .into_iter()
            .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        assert_eq!(files, ["wombat-try-completions.1", "wombat-try-man.1", "wombat-try.1"]);
    }
}
