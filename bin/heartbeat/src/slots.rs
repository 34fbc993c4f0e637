//! `wombat-heartbeat slots`: when a cron line is due.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use clap::Args;
use zones::cron::Cron;
use zones::{Zone, local, parse_zone};

use crate::slot::tick_text;

/// How many moments are printed where no end is named.
const WITHOUT_END: usize = 10;

/// The flags of the command.
#[derive(Debug, Args)]
pub struct SlotsArguments {
    /// The five fields of cron(5), or a word from @hourly to @yearly.
    #[arg(value_name = "CRON")]
    cron: Cron,
    /// The time zone [default: the machine's].
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// The first moment that counts: a date, a time of the zone, or a time of RFC 3339 [default: now].
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The moment before which it ends; ten moments are printed without it.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

/// A moment: RFC 3339, or a date or a time of the zone.
fn moment(flag: &str, text: &str, zone: Zone) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(zone.start_of(day));
    }
    let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
    let time = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let wrong =
        || format!("{flag}: {text:?} is neither a date nor a time such as 2026-10-25T00:00:00Z");
    time.map(|time| zone.instant_of(time)).ok_or_else(wrong)
}

impl SlotsArguments {
    /// The moments, in order.
    ///
    /// # Errors
    /// The flag that is wrong.
    pub fn read(&self) -> Result<impl Iterator<Item = String> + '_, String> {
        let zone = match &self.tz {
            Some(name) => parse_zone(name).map_err(|unknown| format!("--tz: {unknown}"))?,
            None => local().map_err(|unknown| unknown.to_string())?,
        };
        let read = |flag, text: &Option<String>| -> Result<Option<DateTime<Utc>>, String> {
            text.as_deref().map(|text| moment(flag, text, zone)).transpose()
        };
        let (from, to) = (read("--from", &self.from)?, read("--to", &self.to)?);
        let most = if to.is_some() { usize::MAX } else { WITHOUT_END };
        let slots = self.cron.slots_from(zone, from.unwrap_or_else(Utc::now));
        Ok(slots.take_while(move |slot| to.is_none_or(|to| *slot < to)).take(most).map(tick_text))
    }
}
