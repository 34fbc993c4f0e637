//! `wombat-dispatcher`: settings, logging, signals and the exit code; the work is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueHint};
use service::cli::About;
use service::health::Probe;
use service::settings::Layers;
use service::{exit, otel, shutdown, telemetry};
use tokio::net::TcpListener;
use wombat_dispatcher::Settings;

const PROGRAM: &str = "wombat-dispatcher";

/// The health check. The dispatcher is ready as soon as it runs: it waits for whatever is
/// unavailable.
const PROBE: Probe = Probe {
    program: PROGRAM,
    host: "WOMBAT_HOST",
    port: "DISPATCH_HTTP_PORT",
    default_port: None,
    path: "/livez",
};

/// Shown after the flags.
const HELP: &str = "\
Settings, by their variables (`wombat-dispatcher config` shows those in force):
  INTERNAL_API_TOKEN        Authorizes it at the backend; the same as the backend's. Required
  BACKEND_URL               The backend [http://localhost:8000]
  WOMBAT_CONTROL_PLANE_URL  The control plane, where it is not the backend
  AGENT_DAEMON_URL          The daemon, or its load balancer [http://localhost:8081]
  AGENT_DAEMON_API_KEY      The daemon's key, where it has one
  DISPATCH_CONCURRENCY      Sessions in parallel [16]
  DISPATCH_MAX_ATTEMPTS     Failed attempts until a notification is a dead letter [8]
  DISPATCH_HTTP_PORT        Serves /livez, /metrics and webhooks on this port; nowhere when absent
  WOMBAT_WORKSPACE          Its hooks/NAME.md receive POST /hooks/NAME [./workspace]
  RUST_LOG                  The log level: error, warn, info, debug [info]

Exit codes: 0 stopped by a signal or, with --once, all delivered; 1 failed; 2 wrong flags; 78 wrong
settings.";

/// Delivers the backend's notifications to the daemon: each once, those of one session in order.
///
/// A failed delivery is retried with backoff; after too many attempts the notification becomes a
/// dead letter. Any number of dispatchers may run side by side where the backend leases.
/// docs/CONFIGURATION.md lists all settings.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version, after_help = HELP)]
struct Arguments {
    /// The settings file; `wombat.toml` in the working directory is read when it is there.
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Deliver what is waiting, then exit.
    #[arg(long)]
    once: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the settings in force and where each came from; secrets are masked.
    Config,
    /// Check that the dispatcher is running, as a container's health check does. Exit code 0 when it
    /// is, else 1.
    Health {
        /// Its address, such as http://127.0.0.1:9081; by WOMBAT_HOST and DISPATCH_HTTP_PORT when
        /// absent.
        #[arg(long)]
        url: Option<String>,
    },
    #[command(flatten)]
    About(About),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let shows = match arguments.command {
        Some(Command::About(about)) => return about.run::<Arguments>(),
        Some(Command::Health { url }) => {
            let layers = Layers::of_process(arguments.config, Vec::new());
            return PROBE.ask(&layers, url.as_deref());
        }
        Some(Command::Config) => true,
        None => false,
    };
    let layers = Layers::of_process(arguments.config, Vec::new());
    let settings = match Settings::read(&layers) {
        Ok(settings) => settings,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    if shows {
        return exit::show(&settings.effective, &[]);
    }
    let _flush_logs = telemetry::init_service(settings.log_format, &settings.log_filter);
    service::limits::raise_open_files();
    settings.effective.log_warnings();
    if let Some(warning) = &settings.tokens.warning {
        tracing::warn!("{warning}");
    }
    match run(&settings, arguments.once) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::fail(exit::FAILURE, PROGRAM, &format!("{error:#}")),
    }
}

#[tokio::main]
async fn run(settings: &Settings, once: bool) -> anyhow::Result<()> {
    let stop = shutdown::signals()?;
    let listener = match &settings.listen {
        Some((host, port)) => {
            Some(TcpListener::bind((host.as_str(), *port)).await.map_err(|error| {
                anyhow::anyhow!("cannot listen on {host}:{port} (DISPATCH_HTTP_PORT): {error}")
            })?)
        }
        None => None,
    };
    otel::start(&settings.otel, PROGRAM).map_err(anyhow::Error::msg)?;
    let ended = wombat_dispatcher::run(settings, once, listener, stop).await;
    otel::stop().await;
    Ok(ended?)
}
