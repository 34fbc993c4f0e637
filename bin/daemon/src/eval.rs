//! `wombat-daemon eval`: real runs as tests (docs/EVAL.md).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueHint};
use service::exit;
use service::settings::Layers;

use crate::{eval_compare, eval_export, eval_run};

/// The exit code of a broken file, or where there is no case.
pub(crate) const BROKEN: u8 = 2;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum EvalCommand {
    /// Write runs of the backend as cases; personal data become placeholders.
    Export(Export),
    /// Replay cases with the model, and judge them. Exit code 0 when all pass, 1 when not, 2 when a file is
    /// broken or there is no case.
    Run(Run),
    /// Compare two runs of the backend. Exit code 0 when they are the same, 1 when not.
    Diff(Diff),
    /// Replay a run of the backend, and compare. Exit code 0 when both are the same, 1 when not.
    Rerun(Rerun),
}

/// Which runs of the backend.
#[derive(Debug, Clone, Default, Args)]
pub struct Filters {
    /// Those of this user.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Those of this role.
    #[arg(long)]
    pub role: Option<String>,
    /// Those with this status: completed, failed, awaiting_approval, …
    #[arg(long)]
    pub status: Option<String>,
    /// Those that this model answered.
    #[arg(long)]
    pub model: Option<String>,
    /// Those with this digest of workspace or profile.
    #[arg(long)]
    pub digest: Option<String>,
    /// Those that people found up, down or none.
    #[arg(long)]
    pub rating: Option<String>,
    /// Those with this label.
    #[arg(long)]
    pub label: Option<String>,
    /// Those that began then or later (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Those that began before then (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Those with all these words in message or reply.
    #[arg(long, value_name = "WORDS")]
    pub q: Option<String>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
}

/// `eval export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The filters.
    #[command(flatten)]
    pub filters: Filters,
    /// Only the run with this key; may stand several times.
    #[arg(long = "run", value_name = "KEY")]
    pub runs: Vec<String>,
    /// Keep personal data.
    #[arg(long)]
    pub raw: bool,
    /// The file; standard output when absent.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

/// `eval run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The files of cases.
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// Only the cases with such an id; * stands for anything, ? for one character.
    #[arg(long, value_name = "GLOB")]
    pub case: Option<String>,
    /// The model for all tiers, instead of that of settings and profiles.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// How many cases are replayed at once.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Write the model's answers into this folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "replay")]
    pub record: Option<String>,
    /// Take the model's answers from this folder instead of asking it.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub replay: Option<String>,
    /// An earlier report of --json: only cases count that are new or passed there.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub baseline: Option<PathBuf>,
    /// Write the report as JUnit's XML.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub junit: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<PathBuf>,
    /// Write the report in Markdown.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub markdown: Option<PathBuf>,
    /// Write the report as a page of HTML.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub html: Option<PathBuf>,
}

/// `eval diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The key of the one run.
    #[arg(value_name = "RUN")]
    pub left: String,
    /// The key of the other run.
    #[arg(value_name = "RUN")]
    pub right: String,
    /// The user whose runs they are; looked for among all runs when absent.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
}

/// `eval rerun`.
#[derive(Debug, Args)]
pub struct Rerun {
    /// The key of the run.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The user whose run it is; looked for among all runs when absent.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// The model for all tiers, instead of that of the settings.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
}

/// Why a command could not do its work.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The exit code.
    pub(crate) code: u8,
    /// In words.
    pub(crate) why: String,
}

impl Failed {
    /// A failure with the common exit code.
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { code: exit::FAILURE, why: why.into() }
    }

    /// A broken file.
    pub(crate) fn broken(why: impl Into<String>) -> Self {
        Self { code: BROKEN, why: why.into() }
    }

    /// Wrong settings.
    pub(crate) fn settings(why: impl ToString) -> Self {
        Self { code: exit::CONFIG, why: why.to_string() }
    }
}

/// Does what a command says. `layers` makes the settings of these flags; `workspace` is `--workspace`.
pub fn run(
    name: &str,
    command: EvalCommand,
    layers: impl Fn(Vec<(&'static str, String)>) -> Layers,
    workspace: Option<String>,
) -> ExitCode {
    let flags: Vec<_> = workspace.into_iter().map(|dir| ("WOMBAT_WORKSPACE", dir)).collect();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, name, &error),
    };
    let done = runtime.block_on(async {
        match command {
            EvalCommand::Export(export) => eval_export::run(&layers(flags), export).await,
            EvalCommand::Run(run) => eval_run::run(&layers, flags, run).await,
            EvalCommand::Diff(diff) => eval_compare::diff(&layers(flags), diff).await,
            EvalCommand::Rerun(rerun) => eval_compare::rerun(&layers, flags, rerun).await,
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(exit::FAILURE),
        Err(Failed { code, why }) => exit::fail(code, name, &why),
    }
}

/// Writes a file, with the folders that it is in.
pub(crate) fn write(path: &std::path::Path, text: &str) -> Result<(), Failed> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failed::new(format!("{} cannot be written: {error}", path.display())))
}
