//! `wombat-dispatcher`: settings, logging, signals and the exit code; the work is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use service::settings::Layers;
use service::{exit, otel, shutdown, telemetry};
use tokio::net::TcpListener;
use wombat_dispatcher::Settings;

const PROGRAM: &str = "wombat-dispatcher";

/// Delivers the backend's notifications to the daemon.
#[derive(Debug, Parser)]
#[command(name = PROGRAM, version)]
struct Arguments {
    /// The settings file; `wombat.toml` in the working directory is read when it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Deliver what waits, then exit.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let layers = Layers::of_process(arguments.config, Vec::new());
    let settings = match Settings::read(&layers) {
        Ok(settings) => settings,
        Err(error) => return exit::fail(exit::CONFIG, PROGRAM, &error),
    };
    telemetry::init(settings.log_format, &settings.log_filter);
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
