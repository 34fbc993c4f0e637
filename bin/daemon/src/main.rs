//! `wombat-daemon`: the command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chat::Chat;
use clap::{Parser, Subcommand, ValueHint};
use daemon_api::Can;
use service::cli::About;
use service::exit;
use service::health::Probe;
use service::progress::Progress;
use service::settings::Layers;
use tokio::net::TcpListener;
use wombat_daemon::check::{Level, TriedAs, failed};
use wombat_daemon::eval::EvalCommand;
use wombat_daemon::settings::Settings;

/// A run takes a quarter less time than with the C library's allocator, for half a MiB
/// (docs/BENCHMARKS.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NAME: &str = "wombat-daemon";

/// The readiness probe of `wombat-daemon health`.
const PROBE: Probe = Probe {
    program: NAME,
    host: "WOMBAT_HOST",
    port: "WOMBAT_PORT",
    default_port: Some(8081),
    path: "/readyz",
};

/// The end of `--help`.
const HELP: &str = "\
Settings, by their variables (`wombat-daemon config` shows those in force):
  AGENT_JWT_SECRET          Signs the agents' tokens; the same as the backend's. Required
  BACKEND_URL               The backend [http://localhost:8000]
  WOMBAT_CONTROL_PLANE_URL  The control plane, where it is not the backend
  AGENT_DAEMON_API_KEY      What callers must send as X-Agent-Daemon-Key; no check when absent
  LLM_PROVIDER              openai, anthropic, gemini, … or offline, with OPENAI_API_KEY and its like
  WOMBAT_WORKSPACE          The folder of Markdown that defines the agents
  RUST_LOG                  The log level: error, warn, info, debug [info]

Start:
  wombat-daemon init                      a workspace to begin with
  wombat-daemon init --beside URL         the same for an application that runs there
  wombat-daemon check                     check settings, workspace, model and backend
  LLM_PROVIDER=offline wombat-daemon      serve without a model's key
  wombat-daemon chat --role scout         talk to a role of the daemon that serves

Exit codes: 0 stopped by a signal, 1 failed, 2 wrong flags, 78 wrong settings.";

/// The agent runtime beside your backend.
///
/// Settings come from wombat.toml (or --config), .env, the environment and flags; later sources
/// override earlier ones.
/// docs/CONFIGURATION.md lists them all. The daemon needs at least AGENT_JWT_SECRET and
/// BACKEND_URL, and a key of the model's provider (or LLM_PROVIDER=offline).
#[derive(Parser)]
#[command(
    name = NAME,
    version,
    after_help = HELP
)]
struct Cli {
    /// The settings file; wombat.toml in the working directory when absent.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The address to listen on (WOMBAT_HOST).
    #[arg(long, global = true, value_name = "ADDRESS")]
    host: Option<String>,
    /// The port to listen on; 0 picks a free one (WOMBAT_PORT).
    #[arg(long, global = true)]
    port: Option<String>,
    /// The workspace folder (WOMBAT_WORKSPACE).
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    workspace: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve (the default).
    Serve,
    /// Print the settings in force and where each came from; secrets are masked.
    Config,
    /// Write a workspace to start from; existing files are not overwritten.
    Init {
        /// The folder; by WOMBAT_WORKSPACE when absent.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
        /// Replace existing files.
        #[arg(long)]
        force: bool,
        /// Start beside the application that runs at this address: a skill with its endpoints, and the
        /// missing settings in .env.
        #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
        beside: Option<String>,
        /// The path of its OpenAPI document, or a file; looked for at the usual addresses when absent.
        #[arg(long, value_name = "PATH", requires = "beside")]
        openapi: Option<String>,
    },
    /// Check the whole set-up: settings, workspace, model, backend, tools. Exit code 1 when no run
    /// can work.
    Check {
        /// Exit with 1 for warnings, too, as a check in CI should.
        #[arg(long)]
        strict: bool,
        /// Call one of the application's endpoints as this user's agent, too, and print its answer.
        #[arg(long, value_name = "ID")]
        user: Option<String>,
        /// The agent's role; the first of the workspace when absent.
        #[arg(long, requires = "user")]
        role: Option<String>,
    },
    /// Ask the running daemon whether it is ready, as a container's health check does. Exit code 0
    /// when it is, else 1.
    Health {
        /// Where it is, such as http://127.0.0.1:8081; by WOMBAT_HOST and WOMBAT_PORT when absent.
        #[arg(long)]
        url: Option<String>,
    },
    /// Print an agent token, such as the daemon sends to the backend, to try the backend with.
    Token {
        /// The user whose agent it is.
        #[arg(long, value_name = "ID")]
        user: String,
        /// The role of the agent.
        #[arg(long)]
        role: String,
    },
    /// Ask whether a role may make a call, and by which rule. Nothing is called. Exit code 0 when it may, 3
    /// when a person has to approve it, 4 when it is denied, 1 when it cannot be known.
    Can {
        /// The role.
        #[arg(long)]
        role: String,
        /// The user whose agent it is.
        #[arg(long, value_name = "ID")]
        user: String,
        /// A tool, or 'METHOD /path'.
        #[arg(value_name = "CALL")]
        call: String,
        /// The arguments as JSON; without them the rules are asked as far as they depend on none.
        #[arg(long, value_name = "JSON", value_parser = wombat_daemon::can::arguments)]
        arguments: Option<serde_json::Map<String, serde_json::Value>>,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Real runs as tests: export them as cases, replay these without side effects, compare (docs/EVAL.md).
    Eval {
        #[command(subcommand)]
        command: Box<EvalCommand>,
    },
    Chat(Box<Chat>),
    #[command(flatten)]
    About(About),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = match cli.command {
        Some(Command::Can { role, user, call, arguments, json }) => {
            let asked = Can { user_id: user, role, call, arguments, workspace: None };
            return can(cli.config, cli.workspace, asked, json);
        }
        Some(Command::Eval { command }) => {
            let config = cli.config;
            let layers = |flags| Layers::of_process(config.clone(), flags);
            return wombat_daemon::eval::run(NAME, *command, layers, cli.workspace);
        }
        command => command,
    };
    let flags =
        [("WOMBAT_HOST", cli.host), ("WOMBAT_PORT", cli.port), ("WOMBAT_WORKSPACE", cli.workspace)];
    let given = flags.iter().filter_map(|(name, value)| Some((*name, value.clone()?))).collect();
    let layers = |config| Layers::of_process(config, given);
    let shows = matches!(command, Some(Command::Config));
    let layers = match command {
        Some(Command::Init { dir, force, beside, openapi }) => {
            let layers = layers(cli.config);
            return match beside {
                None => init(&layers, dir.as_deref(), force),
                Some(url) => {
                    init_beside(&layers, dir.as_deref(), force, (&url, openapi.as_deref()))
                }
            };
        }
        Some(Command::Token { user, role }) => {
            let layers = layers(cli.config);
            return match wombat_daemon::token::mint(&layers, &user, &role) {
                Ok(token) => {
                    if let Some(warning) = wombat_daemon::token::warning(&layers, &role) {
                        exit::warn(&warning);
                    }
                    exit::say(token);
                    ExitCode::SUCCESS
                }
                Err(problems) => exit::fail(exit::CONFIG, NAME, &problems),
            };
        }
        Some(Command::Check { strict, user, role }) => {
            let tried = user.map(|user| TriedAs::parse(&user, role.as_deref())).transpose();
            return match tried {
                Ok(tried) => check(&layers(cli.config), strict, tried.as_ref()),
                Err(problem) => exit::fail(exit::CONFIG, NAME, &problem),
            };
        }
        Some(Command::Chat(chat)) => {
            let flags = flags.into_iter().chain(chat.flags());
            let flags = flags.filter_map(|(name, value)| Some((name, value?))).collect();
            return chat.run(NAME, &Layers::of_process(cli.config, flags));
        }
        Some(Command::Health { url }) => {
            return PROBE.ask(&layers(cli.config), url.as_deref());
        }
        Some(Command::About(about)) => return about.run::<Cli>(),
        Some(Command::Can { .. } | Command::Eval { .. } | Command::Config | Command::Serve)
        | None => layers(cli.config),
    };
    let settings = match Settings::read(&layers) {
        Ok(settings) => settings,
        Err(problems) => return exit::fail(exit::CONFIG, NAME, &problems),
    };
    if shows { exit::show(&settings.effective, &[zones::note()]) } else { serve(settings) }
}

/// `--workspace` is a name of `WOMBAT_WORKSPACES`, or a folder as everywhere else.
fn can(config: Option<PathBuf>, workspace: Option<String>, asked: Can, as_json: bool) -> ExitCode {
    let layers = Layers::of_process(config.clone(), Vec::new());
    let Some(workspace) = workspace else {
        return wombat_daemon::can::run(NAME, &layers, &asked, as_json);
    };
    if wombat_daemon::can::is_name(&layers, &workspace) {
        let asked = Can { workspace: Some(workspace), ..asked };
        return wombat_daemon::can::run(NAME, &layers, &asked, as_json);
    }
    let layers = Layers::of_process(config, vec![("WOMBAT_WORKSPACE", workspace)]);
    wombat_daemon::can::run(NAME, &layers, &asked, as_json)
}

fn init(layers: &Layers, dir: Option<&Path>, force: bool) -> ExitCode {
    let set = match wombat_daemon::init::folder(layers) {
        Ok(set) => set,
        Err(problems) => return exit::fail(exit::CONFIG, NAME, &problems),
    };
    let dir = dir.unwrap_or(&set);
    match wombat_daemon::init::init(dir, force) {
        Ok(paths) => {
            for path in paths {
                exit::say(path.display());
            }
            if let Some(line) = document_line(layers) {
                exit::say(line);
            }
            exit::say(wombat_daemon::init::SHARED_MEMORY);
            let is_set = std::path::absolute(dir).ok() == std::path::absolute(&set).ok();
            let first = match is_set {
                true => String::new(),
                false => format!("set WOMBAT_WORKSPACE={}, ", dir.display()),
            };
            exit::say(format!(
                "Next: {first}set the secrets in .env, start the backend and the daemon, then: {NAME} check"
            ));
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::FAILURE, NAME, &error),
    }
}

/// What there is to say of the application's OpenAPI document, if it runs already.
fn document_line(layers: &Layers) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(wombat_daemon::check::documents::usual(layers))
}

fn init_beside(
    layers: &Layers,
    dir: Option<&Path>,
    force: bool,
    (url, document): (&str, Option<&str>),
) -> ExitCode {
    let set = match wombat_daemon::init::folder(layers) {
        Ok(set) => set,
        Err(problems) => return exit::fail(exit::CONFIG, NAME, &problems),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
    };
    let dir = dir.unwrap_or(&set);
    let made = wombat_daemon::init::init_beside(layers, dir, force, url, document);
    match runtime.block_on(made) {
        Ok(made) => {
            let files = made.files.iter().map(|file| file.display().to_string());
            for line in files.chain(made.report) {
                exit::say(line);
            }
            ExitCode::SUCCESS
        }
        Err(error) => exit::fail(exit::FAILURE, NAME, &error),
    }
}

fn check(layers: &Layers, strict: bool, tried: Option<&TriedAs>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
    };
    let progress = Progress::start("checking the set-up");
    let findings = runtime.block_on(wombat_daemon::check::check(layers, tried));
    drop(progress);
    for finding in &findings {
        exit::say(finding);
    }
    if let Some(told) = failed(&findings) {
        exit::say(told);
        return ExitCode::from(exit::FAILURE);
    }
    let is_warning = |level| matches!(level, Level::Warning | Level::Loss);
    let warnings = findings.iter().filter(|finding| is_warning(finding.level)).count();
    if strict && warnings > 0 {
        let noun = if warnings == 1 { "warning" } else { "warnings" };
        exit::say(format!("Runs can work, but --strict allows no warnings: {warnings} {noun}."));
        return ExitCode::from(exit::FAILURE);
    }
    let is_loss = findings.iter().any(|finding| finding.level == Level::Loss);
    let without = if is_loss { ", but without tools for the declared endpoints" } else { "" };
    exit::say(format!("Runs can work{without}."));
    ExitCode::SUCCESS
}

fn serve(settings: Settings) -> ExitCode {
    let _last_lines = service::telemetry::init_service(settings.log_format, &settings.log_filter);
    service::limits::raise_open_files();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, NAME, &error),
    };
    runtime.block_on(async {
        let address = (settings.host, settings.port);
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                let problem = format!(
                    "cannot listen on {}:{}: {error}; stop what listens there, or set WOMBAT_PORT to a free port, \
                     and AGENT_DAEMON_URL of the other programs to it",
                    settings.host, settings.port
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
        let ended = wombat_daemon::serve(listener, settings, shutdown).await;
        service::otel::stop().await;
        match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let code = if error.is_configuration() { exit::CONFIG } else { exit::FAILURE };
                exit::fail(code, NAME, &error)
            }
        }
    })
}
