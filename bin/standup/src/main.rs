//! `wombat-standup`: the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueHint};
use service::cli::About;
use service::progress::Progress;
use service::settings::Layers;
use service::{exit, shutdown, telemetry};
use wombat_standup::{Format, Query, Settings, render};

const PROGRAM: &str = "wombat-standup";

/// Shown after the flags.
const HELP: &str = "\
Settings, by their variables (`wombat-standup config` shows those in force):
  BACKEND_URL               The backend [http://localhost:8000]
  WOMBAT_CONTROL_PLANE_URL  The control plane, where it is not the backend
  INTERNAL_API_TOKEN        For the standup of all users; the same as the backend's
  AGENT_JWT_SECRET          For the standup of one user; the same as the backend's
  USER_ID                   That user (or --user)
  STANDUP_TIMEZONE          The time zone of the day (or --tz) [UTC]

From cron:
  wombat-standup --tz Europe/Berlin --format markdown

Exit codes: 0 and the line standup_ok; 1 failed; 2 wrong flags; 78 wrong settings.";

/// Prints the standup of one user or of all users, and ends with the line standup_ok.
///
/// It needs BACKEND_URL, and AGENT_JWT_SECRET for one user (--user or USER_ID) or
/// INTERNAL_API_TOKEN for all. docs/CONFIGURATION.md lists all settings.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = HELP)]
struct Arguments {
    /// The settings file; wombat.toml in the working directory when absent.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The IANA time zone of the day [default: STANDUP_TIMEZONE, else UTC].
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// The user [default: USER_ID, else all users].
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The day [default: today].
    #[arg(long, value_name = "YYYY-MM-DD")]
    date: Option<String>,
    /// The output format.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the settings in force and where each came from; secrets are masked.
    Config,
    #[command(flatten)]
    About(About),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let shows = match arguments.command {
        Some(Command::About(about)) => return about.run::<Arguments>(),
        Some(Command::Config) => true,
        None => false,
    };
    let layers = Layers::of_process(arguments.config, Vec::new());
    let query = Query { zone: arguments.tz, user: arguments.user, date: arguments.date };
    let settings = match Settings::read(&layers, &query) {
        Ok(settings) => settings,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    if shows {
        return exit::show(&settings.effective, &[zones::note()]);
    }
    telemetry::init(settings.log_format, &settings.log_filter);
    settings.effective.log_warnings();
    if let Some(warning) = &settings.warning {
        tracing::warn!("{warning}");
    }
    tracing::debug!("time zones: {}", zones::release());
    match run(&settings) {
        Ok(answer) => {
            exit::say(render(&answer, arguments.format));
            exit::say("standup_ok");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // The backend's error may have several lines.
            let line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            exit::fail(exit::FAILURE, PROGRAM, &line)
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(
    settings: &Settings,
) -> Result<mc_client::types::StandupAnswer, Box<dyn std::error::Error>> {
    let stop = shutdown::signals()?;
    let _progress = Progress::start("waiting for the backend");
    Ok(wombat_standup::run(settings, &stop).await?)
}
