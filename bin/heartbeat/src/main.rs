//! `wombat-heartbeat`: flags, settings, logging and the exit code; the work is in the library.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::TimeDelta;
use clap::{Args, Parser, Subcommand, ValueHint};
use service::cli::About;
use service::progress::Progress;
use service::settings::Layers;
use service::{exit, shutdown, telemetry};
use wombat_heartbeat::{
    Clock, NOTHING_TO_RUN, Plan, ScheduleSettings, Selection, Settings, Slot, SlotsArguments, Wake,
};

const PROGRAM: &str = "wombat-heartbeat";

/// The exit code for wrong flags, which is clap's.
const USAGE: u8 = 2;

/// Shown after the flags.
const HELP: &str = "\
Settings, by their variables (`wombat-heartbeat config` shows those in force):
  USER_ID                   The user whose agent runs (or --user). Required
  AGENT_ROLE                The role of the agent (or --role) [agent]
  AGENT_JWT_SECRET          Signs the agent's token; the same as the backend's. Required
  BACKEND_URL               The backend [http://localhost:8000]
  WOMBAT_CONTROL_PLANE_URL  The control plane, where it is not the backend
  AGENT_DAEMON_URL          The daemon [http://localhost:8081]
  AGENT_DAEMON_API_KEY      The daemon's key, where it has one

From cron:
  wombat-heartbeat --all-roles --user ann --slot auto     all roles, once per fleet of machines
  wombat-heartbeat crontab                                prints the lines for your crontab
  wombat-heartbeat slots '30 2 * * *' --tz Europe/Berlin  prints when a line is due

Exit codes: 0 and the line heartbeat_ok; 1 failed; 2 wrong flags; 78 wrong settings.";

/// Runs agents' heartbeats from cron: records the heartbeat and, when something is pending, has the daemon run
/// the checklist.
///
/// docs/CONFIGURATION.md lists all settings.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = HELP)]
struct Arguments {
    /// The settings file; `wombat.toml` in the working directory is read when it is there.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// A user whose agents run; may be repeated (an id may contain commas) [default: USER_ID].
    #[arg(long = "user", value_name = "USER", global = true)]
    users: Vec<String>,
    #[command(flatten)]
    wake: WakeArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct WakeArguments {
    /// A role to run; may be repeated, or a comma-separated list [default: AGENT_ROLE].
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', conflicts_with = "all_roles")]
    roles: Vec<String>,
    /// Run all roles of agent-config.json.
    #[arg(long)]
    all_roles: bool,
    /// When the daemon runs the checklist.
    #[arg(long, value_enum, default_value_t = Wake::Pending)]
    wake: Wake,
    /// The cron tick to claim, so that only one machine of a fleet does the work: `auto`, or a time
    /// such as 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "auto|TIME")]
    slot: Option<Slot>,
    /// Do nothing where the tick is older than this: for a cron that looks more often than a role is due.
    #[arg(long, value_name = "SECONDS", requires = "slot")]
    due_within: Option<u32>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the settings in force and where each came from; secrets are masked.
    Config,
    /// Print the crontab lines of the roles in agent-config.json that have a heartbeat_cron.
    Crontab,
    /// Print systemd units: a service and a timer for each role in agent-config.json that has a
    /// heartbeat_cron.
    Systemd {
        /// Write them into this directory instead, replacing older ones.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
    /// Print when a cron line is due: one moment of UTC a line.
    Slots(SlotsArguments),
    #[command(flatten)]
    About(About),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let layers = Layers::of_process(arguments.config.clone(), Vec::new());
    match arguments.command {
        Some(Command::About(about)) => about.run::<Arguments>(),
        Some(Command::Crontab) => crontab(&layers, arguments.config.as_deref(), &arguments.users),
        Some(Command::Systemd { out }) => {
            systemd(&layers, arguments.config.as_deref(), &arguments.users, out.as_deref())
        }
        Some(Command::Slots(slots)) => match slots.read() {
            Ok(slots) => {
                slots.for_each(exit::say);
                ExitCode::SUCCESS
            }
            Err(error) => exit::fail(USAGE, PROGRAM, &error),
        },
        Some(Command::Config) => show(&layers, arguments.users, arguments.wake),
        None => wake(&layers, arguments.users, arguments.wake),
    }
}

fn crontab(layers: &Layers, config: Option<&Path>, users: &[String]) -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| PROGRAM.into());
    let lines =
        ScheduleSettings::read(layers).map_err(|error| error.to_string()).and_then(|settings| {
            settings.lines(&program, config, users).map_err(|error| error.to_string())
        });
    match lines {
        Ok(lines) => {
            for line in lines {
                exit::say(line);
            }
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::CONFIG, PROGRAM, &error),
    }
}

fn systemd(
    layers: &Layers,
    config: Option<&Path>,
    users: &[String],
    out: Option<&Path>,
) -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| PROGRAM.into());
    let units =
        ScheduleSettings::read(layers).map_err(|error| error.to_string()).and_then(|settings| {
            settings.units(&program, config, users).map_err(|error| error.to_string())
        });
    let units = match units {
        Ok(units) => units,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    if units.is_empty() {
        exit::say(format!("# {NOTHING_TO_RUN}"));
    }
    for (name, text) in units {
        match out {
            None => exit::say(format!("# {name}\n{text}")),
            Some(dir) => {
                let file = dir.join(name);
                if let Err(error) = std::fs::write(&file, text) {
                    let text = format!("{} could not be written: {error}", file.display());
                    return exit::fail(exit::FAILURE, PROGRAM, &text);
                }
                exit::say(file.display());
            }
        }
    }
    ExitCode::SUCCESS
}

fn show(layers: &Layers, users: Vec<String>, arguments: WakeArguments) -> ExitCode {
    let selection = Selection { users, roles: arguments.roles, all_roles: arguments.all_roles };
    match Settings::read(layers, &selection) {
        Ok(settings) => exit::show(&settings.effective, &[zones::note()]),
        Err(error) => exit::fail(exit::CONFIG, PROGRAM, &error),
    }
}

fn wake(layers: &Layers, users: Vec<String>, arguments: WakeArguments) -> ExitCode {
    let selection = Selection { users, roles: arguments.roles, all_roles: arguments.all_roles };
    let settings = match Settings::read(layers, &selection) {
        Ok(settings) => settings,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    telemetry::init(settings.log_format, &settings.log_filter);
    settings.effective.log_warnings();
    if let Some(warning) = &settings.tokens.warning {
        tracing::warn!("{warning}");
    }
    let due_within = arguments.due_within.map(|most| TimeDelta::seconds(most.into()));
    let plan = Plan { wake: arguments.wake, slot: arguments.slot, due_within };
    let clock = match plan.slot {
        Some(Slot::Auto) => Clock::of_process(),
        Some(Slot::At(_)) | None => Ok(Clock::in_utc()),
    };
    let clock = match clock {
        Ok(clock) => clock,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    tracing::debug!("time zones: {}", zones::release());
    match run(&settings, &plan, &clock) {
        Ok(()) => {
            exit::say("heartbeat_ok");
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::FAILURE, PROGRAM, &error),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(
    settings: &Settings,
    plan: &Plan,
    clock: &Clock,
) -> Result<(), Box<dyn std::error::Error>> {
    const WAITING: &str = "waiting for the backend and the daemon";
    let stop = shutdown::signals()?;
    let progress = RefCell::new(Progress::start(WAITING));
    let print_line = |line: &str| {
        // The progress line must not mix with the output.
        drop(progress.take());
        exit::say(line);
        progress.replace(Progress::start(WAITING));
    };
    wombat_heartbeat::run(settings, plan, clock, &print_line, &stop).await?;
    Ok(())
}
