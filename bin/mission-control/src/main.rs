//! `wombat-mission-control`: the command line.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueHint};
use conformance::cli::Conformance;
use mc_client::token::{Algorithm, Key, TokenVerifier};
use service::cli::About;
use service::exit;
use service::health::Probe;
use service::otel::OtelSettings;
use service::settings::{Effective, Layers, Reader, SettingsError};
use service::telemetry::LogFormat;
use tokio::net::TcpListener;
use wombat_mission_control::store::budgets::Nanos;
use wombat_mission_control::store::database::Database;
use wombat_mission_control::{BoardPassword, Config, ProxyLogin};

const NAME: &str = "wombat-mission-control";

/// Who to ask whether it is ready.
const PROBE: Probe = Probe {
    program: NAME,
    host: "MC_HOST",
    port: "MC_PORT",
    default_port: Some(8000),
    path: "/readyz",
};

/// What a person needs besides the flags.
const HELP: &str = "\
Settings, by their variables (`wombat-mission-control config` shows those in force):
  AGENT_JWT_SECRET       Checks the agents' tokens; the same as the daemon's. Required
  INTERNAL_API_TOKEN     Lets the dispatcher in; nobody when absent
  DATABASE_URL           A PostgreSQL server, postgres://…, or a file, sqlite:…
  MC_BOARD_PASSWORD      What the page asks for; without it the page is for this machine only
  MC_BUDGET_USD          What a user's agents may spend in a month; no limit when absent
  RUST_LOG               How much is logged: error, warn, info, debug [info]

Exit codes: 0 stopped as told, 1 failed, 2 wrong flags, 78 settings to correct.";

/// The reference backend of Wombat, with a page at / and a demo application.
///
/// It needs AGENT_JWT_SECRET (the same as the daemon's) and INTERNAL_API_TOKEN (the same as the
/// dispatcher's). Everything is kept in one SQLite file in MC_DATA_DIR, or on the PostgreSQL server
/// that DATABASE_URL names.
#[derive(Parser)]
#[command(name = NAME, version, after_help = HELP)]
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

struct Settings {
    host: IpAddr,
    port: u16,
    config: Config,
    otel: OtelSettings,
    log_format: LogFormat,
    log_filter: String,
    effective: Effective,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let shows = matches!(cli.command, Some(Command::Config));
    match cli.command {
        Some(Command::Conformance(args)) => {
            return conformance::cli::run(NAME, cli.config, *args);
        }
        Some(Command::Contract) => return contract(),
        Some(Command::About(about)) => return about.tell::<Cli>(),
        Some(Command::Config | Command::Health { .. }) | None => {}
    }
    let flags = [("MC_HOST", cli.host), ("MC_PORT", cli.port), ("MC_DATA_DIR", cli.data_dir)];
    let flags = flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let layers = Layers::of_process(cli.config, flags);
    if let Some(Command::Health { url }) = cli.command {
        return PROBE.ask(&layers, url.as_deref());
    }
    match read(&layers) {
        Ok(settings) if shows => exit::show(&settings.effective),
        Ok(settings) => serve(settings),
        Err(problems) => exit::fail(exit::CONFIG, NAME, &problems),
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

fn read(layers: &Layers) -> Result<Settings, SettingsError> {
    let mut r = Reader::new(layers);
    let host: Option<IpAddr> = r.parse("MC_HOST", "127.0.0.1", "an IP address");
    let host = host.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let port = r.number("MC_PORT", 8000_u16, 0..=u16::MAX);
    let data_dir = PathBuf::from(r.text("MC_DATA_DIR", "./data"));
    let database = database(&mut r, &data_dir);
    let internal_token = r.secret("INTERNAL_API_TOKEN");
    let metrics_token = r.secret("WOMBAT_METRICS_TOKEN");
    let board_password = board_password(&mut r);
    let board_proxy = board_proxy(&mut r);
    let budget = budget(&mut r);
    let verifier = verifier(&mut r);
    let otel = OtelSettings::read(&mut r);
    let log_format = r.parse_optional("WOMBAT_LOG_FORMAT", "pretty or json");
    let log_filter = r.text("RUST_LOG", "info");
    let effective = r.finish()?;
    let Some(verifier) = verifier else {
        return Err(SettingsError(vec!["settings could not be read".to_owned()]));
    };
    // Without a login the page is for the person at this machine.
    let board = host.is_loopback() || board_password.is_some() || board_proxy.is_some();
    Ok(Settings {
        host,
        port,
        config: Config {
            database,
            verifier,
            internal_token,
            metrics_token,
            budget,
            board,
            board_password,
            board_proxy,
        },
        otel,
        log_format: log_format.unwrap_or_else(LogFormat::fitting),
        log_filter,
        effective,
    })
}

/// Where everything is kept: a file in the data folder, when nothing else is said.
fn database(r: &mut Reader<'_>, data_dir: &std::path::Path) -> Database {
    let own = Database::File(data_dir.join("mission-control.db"));
    let Some(url) = r.secret("DATABASE_URL") else { return own };
    Database::of_url(&url).unwrap_or_else(|problem| {
        r.problem("DATABASE_URL", problem);
        own
    })
}

/// What people are asked for before they see the page.
fn board_password(r: &mut Reader<'_>) -> Option<BoardPassword> {
    let given = r.secret("MC_BOARD_PASSWORD")?;
    BoardPassword::new(&given).map_err(|problem| r.problem("MC_BOARD_PASSWORD", problem)).ok()
}

/// The proxy that asks people who they are.
fn board_proxy(r: &mut Reader<'_>) -> Option<ProxyLogin> {
    let trusted = r.optional("MC_BOARD_TRUSTED_PROXIES");
    let Some(header) = r.optional("MC_BOARD_AUTH_HEADER") else {
        if trusted.is_some() {
            let why = "has no use without MC_BOARD_AUTH_HEADER, which names the proxies' header";
            r.problem("MC_BOARD_TRUSTED_PROXIES", why);
        }
        return None;
    };
    let login = ProxyLogin::new(&header, trusted.as_deref().unwrap_or_default());
    let name = |of_header| match of_header {
        true => "MC_BOARD_AUTH_HEADER",
        false => "MC_BOARD_TRUSTED_PROXIES",
    };
    login.map_err(|(of_header, why)| r.problem(name(of_header), why)).ok()
}

/// What a user's agents may spend in a month; nothing said is no limit.
fn budget(r: &mut Reader<'_>) -> Option<Nanos> {
    let usd: f64 =
        r.parse_optional("MC_BUDGET_USD", "an amount in US dollars, such as 25 or 0.50")?;
    let amount = Nanos::of_usd(usd);
    if amount.is_none() {
        r.problem("MC_BUDGET_USD", "allowed: an amount from 0 to 1000000000");
    }
    amount
}

fn verifier(r: &mut Reader<'_>) -> Option<TokenVerifier> {
    let algorithm: Algorithm = r.parse("AGENT_JWT_ALGORITHM", "HS256", Algorithm::ALLOWED)?;
    let names = match algorithm.is_symmetric() {
        true => ["AGENT_JWT_SECRET", "AGENT_JWT_SECRET_PREVIOUS"],
        false => ["AGENT_JWT_PUBLIC_KEY", "AGENT_JWT_PUBLIC_KEY_PREVIOUS"],
    };
    let [key, previous] = names.map(|name| match algorithm.is_symmetric() {
        true => Some(r.secret(name).map(Key::Secret)),
        false => match r.optional(name).map(|path| (std::fs::read_to_string(&path), path)) {
            None => Some(None),
            Some((Ok(pem), _)) => Some(Some(Key::Pem(pem.into()))),
            Some((Err(error), path)) => {
                r.problem(name, format!("{path} cannot be read: {error}"));
                None
            }
        },
    });
    let (key, previous) = (key?, previous?);
    let Some(key) = key else {
        let why = match algorithm.is_symmetric() {
            true => {
                "is not set; give the daemon and this backend the same secret (openssl rand -hex 32)"
            }
            false => "is not set; AGENT_JWT_ALGORITHM needs a PEM file",
        };
        r.problem(names[0], why);
        return None;
    };
    let verifier = TokenVerifier::new(&key, algorithm);
    let verifier = verifier.map_err(|error| r.problem(names[0], error)).ok()?;
    let Some(previous) = previous else { return Some(verifier) };
    let both = verifier.with_previous(&previous, algorithm);
    both.map_err(|error| r.problem(names[1], error)).ok()
}

fn serve(settings: Settings) -> ExitCode {
    let _last_lines = service::telemetry::init_service(settings.log_format, &settings.log_filter);
    service::limits::raise_open_files();
    if settings.config.internal_token.is_none() {
        tracing::warn!(
            "INTERNAL_API_TOKEN is not set: no dispatcher and no other service can call"
        );
    }
    if !settings.config.board {
        tracing::info!(
            "the page at / is off, because MC_HOST can be reached from other machines; MC_BOARD_PASSWORD or MC_BOARD_AUTH_HEADER turns it on"
        );
    }
    if let Some(dir) = settings.config.database.folder()
        && let Err(error) = std::fs::create_dir_all(dir)
    {
        let problem = format!("MC_DATA_DIR: {} cannot be made: {error}", dir.display());
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
                let problem =
                    format!("cannot listen on {host}:{port}: {error}; set MC_PORT to a free port");
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use mc_client::token::TokenMinter;

    use super::*;

    const SECRET: (&str, &str) = ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef");

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        read(&Layers::from_pairs(pairs.iter().copied()))
    }

    fn problems(pairs: &[(&str, &str)]) -> String {
        match settings(pairs) {
            Ok(_) => panic!("{pairs:?} was accepted"),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn the_secret_is_all_that_must_be_given() {
        let settings = settings(&[SECRET]).unwrap();
        assert_eq!((settings.host, settings.port), (IpAddr::from([127, 0, 0, 1]), 8000));
        assert_eq!(settings.config.database.place(), "./data/mission-control.db");
        assert!(settings.config.board);
        assert!(settings.config.internal_token.is_none());
        assert!(problems(&[]).contains("AGENT_JWT_SECRET"));
    }

    #[test]
    fn the_page_is_off_where_other_machines_can_reach_it() {
        assert!(!settings(&[SECRET, ("MC_HOST", "0.0.0.0")]).unwrap().config.board);
        assert!(settings(&[SECRET, ("MC_HOST", "::1")]).unwrap().config.board);
    }

    #[test]
    fn a_database_is_a_file_or_a_postgresql_server() {
        for (url, file) in [
            ("sqlite:mc.db", "mc.db"),
            ("sqlite://data/mc.db", "data/mc.db"),
            ("sqlite:///var/lib/mc.db", "/var/lib/mc.db"),
        ] {
            let settings = settings(&[SECRET, ("DATABASE_URL", url)]).unwrap();
            assert_eq!(settings.config.database.place(), file);
        }
        let url = "postgresql://wombat:geheim@db.example:5433/wombat?sslmode=require";
        let settings = settings(&[SECRET, ("DATABASE_URL", url)]).unwrap();
        assert_eq!(settings.config.database.place(), "wombat at db.example:5433");
        for url in [
            "sqlite:",
            "sqlite::memory:",
            "sqlite:mc.db?mode=ro",
            "mysql://geheim@h/d",
            "mc.db",
            "postgres://u:geheim@h:port/d",
            "postgres://u:geheim@h/d?sslmode=perhaps",
        ] {
            let problems = problems(&[SECRET, ("DATABASE_URL", url)]);
            assert!(
                problems.contains("DATABASE_URL") && !problems.contains("geheim"),
                "{problems}"
            );
        }
    }

    #[test]
    fn a_password_turns_the_page_on_everywhere_and_must_be_one() {
        let far = [SECRET, ("MC_HOST", "0.0.0.0"), ("MC_BOARD_PASSWORD", "open sesame")];
        let config = settings(&far).unwrap().config;
        assert!(config.board && config.board_password.is_some());
        let broken = problems(&[SECRET, ("MC_BOARD_PASSWORD", "$argon2id$v=19$broken")]);
        assert!(broken.contains("MC_BOARD_PASSWORD") && !broken.contains("broken"), "{broken}");
    }

    #[test]
    fn a_proxy_counts_only_with_its_header_and_its_addresses() {
        let (header, from) = ("MC_BOARD_AUTH_HEADER", "MC_BOARD_TRUSTED_PROXIES");
        let far = [SECRET, ("MC_HOST", "0.0.0.0"), (header, "X-User"), (from, "10.0.0.1")];
        let config = settings(&far).unwrap().config;
        assert!(config.board && config.board_proxy.is_some());
        assert!(problems(&[SECRET, (header, "X-User")]).contains(from));
        assert!(problems(&[SECRET, (from, "10.0.0.1")]).contains(from));
        assert!(problems(&[SECRET, (header, "a b"), (from, "::1")]).contains(header));
    }

    #[test]
    fn the_previous_secret_counts_while_it_is_named() {
        let (new, old) = ("n".repeat(32), "o".repeat(32));
        let minter = TokenMinter::new(
            &Key::Secret(old.clone().into()),
            Algorithm::Hs256,
            std::time::Duration::from_secs(60),
        );
        let token = minter.unwrap().mint("ann", "scout").unwrap().header();
        let token = token.to_str().unwrap();
        let now = [("AGENT_JWT_SECRET", new.as_str())];
        assert!(settings(&now).unwrap().config.verifier.verify(token).is_err());
        let both = [now[0], ("AGENT_JWT_SECRET_PREVIOUS", old.as_str())];
        assert!(settings(&both).unwrap().config.verifier.verify(token).is_ok());
        let pem = [("AGENT_JWT_ALGORITHM", "EdDSA"), ("AGENT_JWT_PUBLIC_KEY", "/nowhere.pem")];
        assert!(problems(&pem).contains("/nowhere.pem cannot be read"));
    }

    #[test]
    fn a_budget_is_an_amount_of_money() {
        assert_eq!(settings(&[SECRET]).unwrap().config.budget, None);
        let budget = settings(&[SECRET, ("MC_BUDGET_USD", "2.50")]).unwrap().config.budget;
        assert_eq!(budget, Nanos::of_usd(2.5));
        for wrong in ["much", "-1", "NaN", "inf", "1e12"] {
            assert!(
                problems(&[SECRET, ("MC_BUDGET_USD", wrong)]).contains("MC_BUDGET_USD"),
                "{wrong}"
            );
        }
    }
}
