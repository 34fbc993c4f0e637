//! `make chaos`: notifications are delivered while programs are killed at random.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use test_support::chaos::{self, Plan};
use test_support::program::ProgramError;
use test_support::stack::example;

/// How much is delivered, and which faults are injected.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Seed: the same one repeats the kills and the failing calls. The current time when absent.
    #[arg(long)]
    seed: Option<u64>,
    /// Number of notifications.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    notifications: u32,
    /// Number of sessions.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    sessions: u32,
    /// Percentage of calls to the daemon and of acknowledgements that fail.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(0..=90))]
    percent: u64,
    /// The shortest time between two kills, in milliseconds; the longest is four times as long.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    between_kills_ms: u64,
    /// Timeout, seconds.
    #[arg(long, default_value_t = 3_600)]
    patience_secs: u64,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<(), ProgramError> {
    let time = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seed = arguments.seed.unwrap_or_else(time);
    let least = Duration::from_millis(arguments.between_kills_ms);
    let plan = Plan {
        seed,
        notifications: arguments.notifications as usize,
        sessions: arguments.sessions as usize,
        percent: arguments.percent,
        between_kills: (least, least.saturating_mul(4)),
        max_kills: usize::MAX,
        patience: Duration::from_secs(arguments.patience_secs),
    };
    say(&format!(
        "seed {seed}: {} notifications for {} sessions, two dispatchers (repeat with --seed {seed})",
        plan.notifications, plan.sessions
    ));
    let report = chaos::run(&plan, &example()).await?;
    say(&format!(
        "{} replies, one for each notification, each session's in order, after {:.0} s\n\
         killed: dispatchers {} times, the daemon {}, the backend {}\n\
         deliveries to the daemon: {}, of which {} were answered with 500\n\
         acknowledgements: {}, of which {} were answered with 500",
        report.replies,
        report.took.as_secs_f64(),
        report.dispatchers_killed,
        report.daemons_killed,
        report.backends_killed,
        report.forwards,
        report.failed_forwards,
        report.acknowledgements,
        report.failed_acknowledgements,
    ));
    Ok(())
}

fn say(text: &str) {
    // A closed standard output does not stop the run.
    let _ = writeln!(std::io::stdout(), "{text}");
}
