//! `wombat-mission-control`: the command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueHint};
use conformance::cli::Conformance;
use service::cli::About;
use service::exit;
use service::health::Probe;
use service::settings::Layers;
use tokio::net::TcpListener;
use wombat_mission_control::audit::{AuditError, Verified, export, verify, verify_file};
use wombat_mission_control::person_export::{Counts, OwnedError, expire, export as export_person};
use wombat_mission_control::settings::{Settings, read, read_database, read_retention};

const NAME: &str = "wombat-mission-control";

/// How `health` reaches the running backend.
const PROBE: Probe = Probe {
    program: NAME,
    host: "MC_HOST",
    port: "MC_PORT",
    default_port: Some(8000),
    path: "/readyz",
};

/// The end of `--help`: settings and exit codes.
const HELP: &str = "\
Settings, by their variables (`wombat-mission-control config` shows those in force):
  AGENT_JWT_SECRET       Checks the agents' tokens; the same as the daemon's. Required
  INTERNAL_API_TOKEN     Authenticates the dispatcher; without it no service can call
  DATABASE_URL           A PostgreSQL server, postgres://…, or a file, sqlite:…
  MC_BOARD_PASSWORD      The password of the page; without it the page is for this machine only
  MC_DEMO                Whether the demo application, a search for schools, is served [false]
  MC_STREAM_URL          A Redis that keeps what runs tell, redis://…; the database if absent
  MC_RETENTION           After how many days things are deleted, runs=90,… ; never if absent
  MC_BUDGET_USD          Monthly budget of each user, in US dollars; no limit if absent
  RUST_LOG               How much is logged: error, warn, info, debug [info]

Exit codes: 0 stopped by a signal, 1 failed, 2 wrong flags, 78 settings to correct.";

/// The reference backend of Wombat, with a page at /.
///
/// It needs AGENT_JWT_SECRET (the same as the daemon's) and INTERNAL_API_TOKEN (the same as the
/// dispatcher's). Everything is kept in one SQLite file in MC_DATA_DIR, or on the PostgreSQL server
/// that DATABASE_URL names.
#[derive(Parser)]
#[command(
    name = NAME,
    version,
    after_help = HELP
)]
struct Cli {
    /// The settings file; wombat.toml in the working directory when absent.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The address to listen on (MC_HOST).
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// The port to listen on; 0 picks a free one (MC_PORT).
    #[arg(long)]
    port: Option<String>,
    /// Where the database is kept (MC_DATA_DIR).
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Print the settings in force and where each came from; secrets are masked.
    Config,
    Conformance(Box<Conformance>),
    /// Print the contract as an OpenAPI 3.1 document.
    Contract,
    /// Read the audit log: who did what.
    #[command(subcommand)]
    Audit(Audit),
    /// Write all that is kept of a user, with the user's files, into a folder.
    Export {
        /// Whose data it is.
        #[arg(long, value_name = "ID")]
        user: String,
        /// A folder that does not exist yet, or is empty.
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        out: PathBuf,
    },
    /// Delete what is older than MC_RETENTION says, as the running backend does each hour.
    Retention {
        /// Only print how much of each kind would be deleted.
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask the running backend whether it is ready, as a container's health check does. Exit code
    /// 0 when it is, else 1.
    Health {
        /// Where it is, such as http://127.0.0.1:8000; by MC_HOST and MC_PORT when absent.
        #[arg(long)]
        url: Option<String>,
    },
    #[command(flatten)]
    About(About),
}

/// The exit code where the entry with the head that was kept has expired.
const HEAD_EXPIRED: u8 = 3;

#[derive(Subcommand)]
enum Audit {
    /// Print the audit log of the database, one entry a line, oldest first.
    Export,
    /// Check that no entry of the audit log was changed, added or removed. Exit code 1 names the
    /// first bad seq; 3 is a head that has expired, so that what it covered cannot be checked.
    Verify {
        /// A file that `audit export` wrote; the database when absent.
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// A hash that an entry must have, kept from an earlier check: nothing up to that entry was
        /// removed or changed since. Without it nobody can tell that entries are missing at the end.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = match cli.command {
        Some(Command::Conformance(args)) => {
            return conformance::cli::run(NAME, cli.config, *args);
        }
        Some(Command::Contract) => return contract(),
        Some(Command::About(about)) => return about.run::<Cli>(),
        command @ (Some(
            Command::Config
            | Command::Health { .. }
            | Command::Audit(_)
            | Command::Export { .. }
            | Command::Retention { .. },
        )
        | None) => command,
    };
    let flags = [("MC_HOST", cli.host), ("MC_PORT", cli.port), ("MC_DATA_DIR", cli.data_dir)];
    let flags = flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let layers = Layers::of_process(cli.config, flags);
    match command {
        Some(Command::Health { url }) => return PROBE.ask(&layers, url.as_deref()),
        Some(Command::Audit(what)) => return audit(&layers, what),
        Some(Command::Export { user, out }) => return export_user(&layers, &user, &out),
        Some(Command::Retention { dry_run }) => return retention(&layers, dry_run),
        Some(_) | None => {}
    }
    match read(&layers) {
        Ok(settings) if command.is_some() => exit::show(&settings.effective, &[zones::note()]),
        Ok(settings) => serve(settings, layers.is_set("WOMBAT_CONTROL_PLANE_URL")),
        Err(problems) => exit::fail(exit::CONFIG, NAME, &problems),
    }
}

/// Does something with the database, and tells how many of each kind it was.
fn count_in(work: impl Future<Output = Result<Counts, OwnedError>>, none: &str) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
    };
    match runtime.block_on(work) {
        Ok(counts) if counts.is_empty() => exit::say(none),
        Ok(counts) => counts.iter().for_each(|(kind, many)| exit::say(format!("{kind}: {many}"))),
        Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
    }
    ExitCode::SUCCESS
}

/// Writes all that is kept of a user.
fn export_user(layers: &Layers, user: &str, out: &Path) -> ExitCode {
    match read_database(layers) {
        Ok(database) => {
            count_in(export_person(&database, user, out), "nothing is kept of this user")
        }
        Err(problems) => exit::fail(exit::CONFIG, NAME, &problems),
    }
}

/// Deletes what has expired, or counts it.
fn retention(layers: &Layers, dry_run: bool) -> ExitCode {
    match read_retention(layers) {
        Ok((database, retention)) => {
            let none = "MC_RETENTION is not set: nothing expires by it";
            count_in(expire(&database, &retention, dry_run), none)
        }
        Err(problems) => exit::fail(exit::CONFIG, NAME, &problems),
    }
}

/// Exports or verifies the audit log.
fn audit(layers: &Layers, what: Audit) -> ExitCode {
    let done = match what {
        Audit::Verify { file: Some(file), head } => verify_file(&file, head.as_deref()).map(Some),
        Audit::Verify { file: None, .. } | Audit::Export => {
            let database = match read_database(layers) {
                Ok(database) => database,
                Err(problems) => return exit::fail(exit::CONFIG, NAME, &problems),
            };
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
            };
            runtime.block_on(async {
                match what {
                    Audit::Verify { head, .. } => {
                        verify(&database, head.as_deref()).await.map(Some)
                    }
                    Audit::Export => {
                        let mut out = std::io::BufWriter::new(std::io::stdout());
                        export(&database, &mut out).await.map(|()| None)
                    }
                }
            })
        }
    };
    match done {
        Ok(Some(Verified { last, head })) => {
            exit::say(format!("the audit log is complete: entries up to {last}, head {head}"));
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(error @ AuditError::HeadExpired { .. }) => exit::fail(HEAD_EXPIRED, NAME, &error),
        Err(error) => exit::fail(exit::FAILURE, NAME, &error),
    }
}

/// Prints the contract.
fn contract() -> ExitCode {
    let document = wombat_mission_control::contract::document();
    let printed = serde_json::to_string_pretty(&document)
        .map_err(std::io::Error::other)
        .and_then(|text| writeln!(std::io::stdout(), "{text}"));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::fail(exit::FAILURE, NAME, &error),
    }
}

/// Makes the folder of the database. One that is new is kept out of a repository that it may stand in.
fn data_folder(dir: &Path) -> std::io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(dir)?;
    std::fs::write(dir.join(".gitignore"), "*\n")
}

/// Whose setting a new port has to be told, too: beside an application `BACKEND_URL` is the application's.
fn told_of_port(is_beside: bool) -> &'static str {
    match is_beside {
        true => {
            "WOMBAT_CONTROL_PLANE_URL of the other programs to it (BACKEND_URL stays: it is your application's)"
        }
        false => {
            "BACKEND_URL of the other programs to it (WOMBAT_CONTROL_PLANE_URL where BACKEND_URL is your application's)"
        }
    }
}

/// Serves until it is told to stop. `is_beside`: whether the settings give it an address of its own beside an
/// application.
fn serve(settings: Settings, is_beside: bool) -> ExitCode {
    let _last_lines = service::telemetry::init_service(settings.log_format, &settings.log_filter);
    service::limits::raise_open_files();
    settings.effective.log_warnings();
    if settings.config.internal_token.is_none() {
        tracing::warn!(
            "INTERNAL_API_TOKEN is not set; calls of the dispatcher and other services are refused"
        );
    }
    if settings.config.verifier.accepts_legacy() {
        tracing::warn!(
            "AGENT_JWT_LEGACY is true: tokens without iss and jti are accepted; unset it when no program of the TypeScript original is left"
        );
    }
    if !settings.config.board {
        tracing::info!(
            "page at / disabled: MC_HOST is reachable from other machines; set MC_BOARD_PASSWORD or MC_BOARD_AUTH_HEADER to enable it"
        );
    }
    if let Some(dir) = settings.config.database.folder()
        && let Err(error) = data_folder(dir)
    {
        let problem = format!(
            "MC_DATA_DIR or DATABASE_URL: the folder {} could not be created: {error}; make it for this user, or name another place",
            dir.display()
        );
        return exit::fail(exit::CONFIG, NAME, &problem);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
    };
    runtime.block_on(async {
        let listener = match TcpListener::bind((settings.host, settings.port)).await {
            Ok(listener) => listener,
            Err(error) => {
                let (host, port) = (settings.host, settings.port);
                let problem = format!(
                    "cannot listen on {host}:{port}: {error}; stop what listens there, or set MC_PORT to a free \
                     port, and {}",
                    told_of_port(is_beside)
                );
                return exit::fail(exit::FAILURE, NAME, &problem);
            }
        };
        let shutdown = match service::shutdown::signals() {
            Ok(shutdown) => shutdown,
            Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
        };
        if let Err(problem) = service::otel::start(&settings.otel, NAME) {
            return exit::fail(exit::CONFIG, NAME, &problem);
        }
        let ended = wombat_mission_control::run(listener, settings.config, shutdown).await;
        service::otel::stop().await;
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => exit::fail(exit::FAILURE, NAME, &error),
        }
    })
}
