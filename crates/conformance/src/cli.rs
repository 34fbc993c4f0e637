//! The command line of the checks: `wombat-mission-control conformance`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueHint};
use mc_client::token::{Algorithm, Key};
use service::exit;
use service::progress::Progress;
use service::settings::{Layers, Reader};

use crate::report::Report;
use crate::{CHAPTERS, Target, check};

/// The exit code for wrong flags, and for a backend that cannot be reached.
const UNUSABLE: u8 = 2;

/// Checks whether a backend keeps the contract. Use a test backend: what the checks create stays
/// there, under titles that begin with [wombat conformance …].
///
/// Exit codes: 0 when the required part is kept, 1 when it is not, 2 when nothing could be checked.
#[derive(Debug, Args)]
pub struct Conformance {
    /// The backend (BACKEND_URL).
    #[arg(long, value_hint = ValueHint::Url)]
    url: Option<String>,
    /// The secret that signs agent tokens (better given as AGENT_JWT_SECRET: other users of the machine
    /// can see arguments).
    #[arg(long)]
    secret: Option<String>,
    /// The algorithm of agent tokens; HS256 if absent (AGENT_JWT_ALGORITHM).
    #[arg(long)]
    algorithm: Option<String>,
    /// The private key that signs agent tokens, instead of a secret (AGENT_JWT_PRIVATE_KEY).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    private_key: Option<String>,
    /// The public key, to check that the backend refuses tokens signed with it as a secret.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    public_key: Option<PathBuf>,
    /// The internal token that services send (INTERNAL_API_TOKEN).
    #[arg(long)]
    internal_token: Option<String>,
    /// A user that the backend knows, instead of a random one.
    #[arg(long, requires = "other_user")]
    user: Option<String>,
    /// Another user that the backend knows.
    #[arg(long, requires = "user")]
    other_user: Option<String>,
    /// Run only this chapter; may be given several times.
    #[arg(long, value_parser = PossibleValuesParser::new(CHAPTERS))]
    chapter: Vec<String>,
    /// Also write the report as JUnit XML.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    junit: Option<PathBuf>,
    /// Also write the report as JSON.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
}

/// Runs the checks, prints the table, writes the reports.
pub fn run(program: &str, config: Option<PathBuf>, args: Conformance) -> ExitCode {
    let refuse = |problem: &dyn std::fmt::Display| {
        exit::fail(UNUSABLE, program, &format!("conformance: {problem}"))
    };
    let (junit, json) = (args.junit.clone(), args.json.clone());
    let target = match target(config, args) {
        Ok(target) => target,
        Err(problem) => return refuse(&problem),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error),
    };
    let progress = Progress::start("asking the backend for its capabilities");
    let begins = |chapter: &str| progress.now(&format!("checking: {chapter}"));
    let report = runtime.block_on(check(target, begins));
    drop(progress);
    let report = match report {
        Ok(report) => report,
        Err(error) => return refuse(&error),
    };
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    exit::say(report.table(width).trim_end());
    if let Err(problem) = write(&report, junit.as_deref(), json.as_deref()) {
        return refuse(&problem);
    }
    ExitCode::from(u8::from(report.summary.failed_required > 0))
}

fn target(config: Option<PathBuf>, args: Conformance) -> Result<Target, String> {
    let flags = [
        ("BACKEND_URL", args.url),
        ("AGENT_JWT_SECRET", args.secret),
        ("AGENT_JWT_ALGORITHM", args.algorithm),
        ("AGENT_JWT_PRIVATE_KEY", args.private_key),
        ("INTERNAL_API_TOKEN", args.internal_token),
    ];
    let flags = flags.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let layers = Layers::of_process(config, flags);
    let mut r = Reader::new(&layers);
    let url = r.optional_url("BACKEND_URL");
    let secret = r.secret("AGENT_JWT_SECRET");
    let pem = r.optional("AGENT_JWT_PRIVATE_KEY");
    let algorithm: Option<Algorithm> = r.parse("AGENT_JWT_ALGORITHM", "HS256", Algorithm::ALLOWED);
    let internal_token = r.secret("INTERNAL_API_TOKEN");
    r.finish().map_err(|problems| problems.to_string())?;
    let url = url.ok_or("no backend is given; set --url or BACKEND_URL")?;
    let algorithm = algorithm.ok_or("--algorithm is not one of the allowed algorithms")?;
    let key = match (algorithm.is_symmetric(), secret, pem) {
        (true, Some(secret), _) => Key::Secret(secret),
        (true, None, _) => {
            return Err("no secret is given; set AGENT_JWT_SECRET or --secret".to_owned());
        }
        (false, _, Some(file)) => Key::Pem(read(Path::new(&file))?.into()),
        (false, _, None) => {
            return Err(
                "no private key is given; set AGENT_JWT_PRIVATE_KEY or --private-key".to_owned()
            );
        }
    };
    let public_key = args.public_key.as_deref().map(read).transpose()?;
    let users = args.user.zip(args.other_user);
    let chapters = args.chapter;
    Ok(Target { url, key, algorithm, public_key, internal_token, users, chapters })
}

fn read(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file)
        .map_err(|error| format!("{} cannot be read: {error}", file.display()))
}

fn write(report: &Report, junit: Option<&Path>, json: Option<&Path>) -> Result<(), String> {
    let put = |file: &Path, text: String| {
        std::fs::write(file, text)
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))
    };
    if let Some(file) = junit {
        put(file, report.junit().map_err(|error| error.to_string())?)?;
    }
    if let Some(file) = json {
        put(file, report.json().map_err(|error| error.to_string())?)?;
    }
    Ok(())
}
