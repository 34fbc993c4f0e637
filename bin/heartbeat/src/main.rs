//! `wombat-heartbeat`: flags, settings, logging and the exit code; the work is in the library.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::Local;
use clap::{Args, Parser, Subcommand, ValueHint};
use service::cli::About;
use service::progress::Progress;
use service::settings::Layers;
use service::{exit, shutdown, telemetry};
use wombat_heartbeat::{Plan, ScheduleSettings, Settings, Slot, Wake, Who};

const PROGRAM: &str = "wombat-heartbeat";

/// What a person needs besides the flags.
const HELP: &str = "\
Settings, by their variables (`wombat-heartbeat config` shows those in force):
  USER_ID                Whose agent wakes (or --user). Required
  AGENT_ROLE             Which agent wakes (or --role) [agent]
  AGENT_JWT_SECRET       Signs the agent's token; the same as the backend's. Required
  BACKEND_URL            The backend [http://localhost:8000]
  AGENT_DAEMON_URL       The daemon [http://localhost:8081]
  AGENT_DAEMON_API_KEY   The daemon's key, where it has one

From cron:
  wombat-heartbeat --all-roles --user ann --slot auto     all roles, once for a fleet
  wombat-heartbeat crontab                                the lines for your crontab

Exit codes: 0 and the line heartbeat_ok; 1 failed; 2 wrong flags; 78 settings to correct.";

/// Wakes agents from cron: records the heartbeat and has the daemon work through the checklist
/// when something waits.
///
/// docs/CONFIGURATION.md lists all settings.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = HELP)]
struct Arguments {
    /// The settings file; `wombat.toml` in the working directory is read when it is there.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// A user whose agents wake; may be given several times (an id may hold commas). Else USER_ID.
    #[arg(long = "user", value_name = "USER", global = true)]
    users: Vec<String>,
    #[command(flatten)]
    wake: WakeArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct WakeArguments {
    /// A role that wakes; may be given several times, or be a list with commas. Else AGENT_ROLE.
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', conflicts_with = "all_roles")]
    roles: Vec<String>,
    /// All roles of agent-config.json wake.
    #[arg(long)]
    all_roles: bool,
    /// When the daemon is asked.
    #[arg(long, value_enum, default_value_t = Wake::Pending)]
    wake: Wake,
    /// The cron tick to claim, so that of a fleet one machine does the work: `auto`, or a time
    /// such as 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "auto|TIME")]
    slot: Option<Slot>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints the settings in force and where each came from; secrets are masked.
    Config,
    /// Prints the crontab lines of the roles in agent-config.json that have a heartbeat_cron.
    Crontab,
    /// Prints systemd units, a service and a timer for each role in agent-config.json that has a
    /// heartbeat_cron.
    Systemd {
        /// Writes them as files into this directory instead, over older ones.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: Option<PathBuf>,
    },
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
    for (name, text) in units {
        match out {
            None => exit::say(format!("# {name}\n{text}")),
            Some(dir) => {
                let file = dir.join(name);
                if let Err(error) = std::fs::write(&file, text) {
                    let text = format!("{} cannot be written: {error}", file.display());
                    return exit::fail(exit::FAILURE, PROGRAM, &text);
                }
                exit::say(file.display());
            }
        }
    }
    ExitCode::SUCCESS
}

fn show(layers: &Layers, users: Vec<String>, arguments: WakeArguments) -> ExitCode {
    let who = Who { users, roles: arguments.roles, all_roles: arguments.all_roles };
    match Settings::read(layers, &who) {
        Ok(settings) => exit::show(&settings.effective),
        Err(error) => exit::fail(exit::CONFIG, PROGRAM, &error),
    }
}

fn wake(layers: &Layers, users: Vec<String>, arguments: WakeArguments) -> ExitCode {
    let who = Who { users, roles: arguments.roles, all_roles: arguments.all_roles };
    let settings = match Settings::read(layers, &who) {
        Ok(settings) => settings,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    telemetry::init(settings.log_format, &settings.log_filter);
    if let Some(warning) = &settings.tokens.warning {
        tracing::warn!("{warning}");
    }
    let plan = Plan { wake: arguments.wake, slot: arguments.slot };
    match run(&settings, &plan) {
        Ok(()) => {
            exit::say("heartbeat_ok");
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::FAILURE, PROGRAM, &error),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(settings: &Settings, plan: &Plan) -> Result<(), Box<dyn std::error::Error>> {
    const WAITING: &str = "waiting for the backend and the daemon";
    let stop = shutdown::signals()?;
    let progress = RefCell::new(Progress::start(WAITING));
    let say = |line: &str| {
        // What is printed does not mix with the line about waiting.
        drop(progress.take());
        exit::say(line);
        progress.replace(Progress::start(WAITING));
    };
    wombat_heartbeat::run(settings, plan, &Local::now(), &say, &stop).await?;
    Ok(())
}
