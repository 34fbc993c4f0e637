//! The commands of README and tutorials, run one after the other as a reader would type them.
//!
//! A document becomes one script. What differs from a reader's terminal: ports are free ones,
//! the repository's address is that of a copy of it, `cargo` is a stand-in that uses what has been built, and
//! a scripted model answers requests with a key. A comment before a block says what a reader does by
//! hand:
//!
//! - `<!-- test: stays until "TEXT" -->`: it keeps running in a terminal of its own; the next block
//!   follows once it has printed this;
//! - `<!-- test: in DIR -->`: the reader is in this folder; may stand before one of the others, with `; `;
//! - `<!-- test: restart PROGRAM -->`: that program is stopped and started again before this block; may stand before the first
//!   of these, with `; `;
//! - `<!-- test: by scripts/NAME.sh -->`: that script runs the block, and it is left out here.

mod reader;
mod script;

use std::path::Path;

use test_support::postgres::Postgres;

use crate::peers::{beside_python, pypi};
pub(super) use reader::copy;

use reader::Reader;

/// Both run `make demo`, which uses the default ports if they are free, so they run in turn.
#[tokio::test]
async fn the_commands_of_readme_and_quickstart_do_what_stands_there() {
    for (name, results) in [
        ("README.md", &["Runs can work.", "\"status\":\"ok\""][..]),
        (
            "docs/QUICKSTART.md",
            &[
                "Runs can work.",
                "is on your list",
                "\"status\":\"ok\"",
                "You help families",
                "I found ",
            ],
        ),
    ] {
        let Some(reader) = Reader::new().await else { return };
        copy(&reader.dir.path().join("wombat.git"));
        let told = reader.run(name).await;
        for result in results {
            assert!(told.contains(result), "{name}: no {result} in\n{told}");
        }
    }
}

/// Downloads the application's packages, so it runs only where those of PyPI are installed.
#[tokio::test]
async fn the_commands_beside_an_application_do_what_stands_there() {
    if beside_python().is_none() {
        return;
    }
    let Some(postgres) = Postgres::start(Path::new(env!("CARGO_TARGET_TMPDIR"))) else { return };
    let Some(reader) = Reader::new().await else { return };
    copy(&reader.dir.path().join("wombat.git"));
    let told = reader.run_beside("docs/BESIDE.md", &postgres).await;
    for result in [
        "declares 4 of its operations and leaves out 2",
        "Tasks, messages and journals: schema wombat of the application's database",
        "Runs can work.",
        "\\\"milk\\\" is on your list.",
        "\"title\":\"milk\"",
        "1|\"milk\" is on your list.",
    ] {
        assert!(told.contains(result), "no {result} in\n{told}");
    }
}

#[tokio::test]
async fn the_commands_of_the_guide_do_what_stands_there() {
    let Some(reader) = Reader::new().await else { return };
    let told = reader.run("docs/GUIDE.md").await;
    for result in [
        "0 failed",
        "Runs can work.",
        "\"compatible\":true",
        "\"plan_document_id\"",
        "\"actor_type\":\"agent\"",
        "heartbeat_ok",
        "standup_ok",
    ] {
        assert!(told.contains(result), "no {result} in\n{told}");
    }
}

/// Downloads the application's packages, so it runs only where packages from PyPI are installed.
#[tokio::test]
async fn the_commands_of_the_fastapi_tutorial_do_what_stands_there() {
    if pypi("fastapi, jwt, uvicorn").is_none() {
        return;
    }
    let Some(reader) = Reader::new().await else { return };
    copy(&reader.dir.path().join("wombat.git"));
    let told = reader.run("docs/FASTAPI.md").await;
    for result in [
        "Runs can work.",
        "A visit of Dune Street Primary is booked",
        "'ann', 'visit'",
        "A visit of Harbour Grammar is booked",
        "0 failed",
    ] {
        assert!(told.contains(result), "no {result} in\n{told}");
    }
}
