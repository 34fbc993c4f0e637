#!/usr/bin/env bash
# chrono's `Local` gives the two meanings of a time that comes twice in the wrong order.
#
# One would guess: `from_local_datetime(..).earliest()` is the earlier of the two moments at which a clock that is put
# back shows a time, as its documentation says and as chrono's other zones do.
# What happens: with `Local` on Linux, `earliest()` is the later moment and `latest()` the earlier one, for every year
# that zoneinfo describes by its rule (TZ string) and not by a listed change. A schedule that looks for the first 02:30
# of the night in which summer time ends finds the second one, an hour late.
#
# Versions: chrono 0.4.45, chrono-tz 0.10.4 for comparison, Rust 1.95. Needs cargo, and /usr/share/zoneinfo.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/src"
cat > "$dir/Cargo.toml" <<'TOML'
[package]
name = "twice"
version = "0.1.0"
edition = "2024"
[dependencies]
chrono = { version = "=0.4.45", default-features = false, features = ["clock", "std"] }
chrono-tz = "=0.10.4"
TOML
cat > "$dir/src/main.rs" <<'RUST'
use chrono::{Local, NaiveDate, TimeZone};

fn main() {
    let time = NaiveDate::from_ymd_opt(2026, 10, 25).unwrap().and_hms_opt(2, 30, 0).unwrap();
    let named = chrono_tz::Europe::Berlin.from_local_datetime(&time);
    let local = Local.from_local_datetime(&time);
    let named = (named.earliest().unwrap().to_utc(), named.latest().unwrap().to_utc());
    let local = (local.earliest().unwrap().to_utc(), local.latest().unwrap().to_utc());
    println!("2026-10-25 02:30 in Berlin, earliest and latest");
    println!("chrono-tz: {} and {}", named.0, named.1);
    println!("Local:     {} and {}", local.0, local.1);
    assert!(named.0 < named.1);
    std::process::exit(if (local.1, local.0) == named { 0 } else { 1 });
}
RUST
cd "$dir"
TZ=Europe/Berlin cargo run --quiet
