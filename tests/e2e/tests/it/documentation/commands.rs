//! The commands of README and tutorials, run one after the other as a reader would type them.
//!
//! A document becomes one script. What differs from a reader's terminal: ports are free ones,
//! the repository's address is that of a copy of it, `cargo` is a stand-in that uses what has been built, and
//! a scripted model answers requests with a key. A comment before a block says what a reader does by
//! hand:
//!
//! - `stays until "TEXT"`: it keeps running in a terminal of its own; the next block follows once it has printed this;
//! - `prints `TEXT``: what the block prints holds this text. Every block that asks something has one or more of these: an
//!   exit code of 0 does not say that the answer is the one that the page promises;
//! - `with a failure`: a failed call in what is printed is what the page shows; elsewhere it is an error;
//! - `in DIR`: the reader is in this folder;
//! - `restart PROGRAM`: that program is stopped and started again before this block;
//! - `ends the others`: all programs that were started are stopped before this block;
//! - `not run: WHY`: it is left out, for this reason;
//! - `by scripts/NAME.sh`: that script runs the block, and it is left out here.
//!
//! Several stand in one comment, with `; ` between them: `<!-- test: in wombat; prints `a`; prints `b` -->`.

mod reader;
mod script;

use std::path::Path;

use test_support::postgres::Postgres;

use crate::peers::{beside_python, npm_ci, pypi};
pub(super) use reader::copy;

use reader::Reader;

/// Pages whose commands no reader of these tests runs, and why.
const NOT_RUN: [(&str, &str); 11] = [
    ("CONTRIBUTING.md", "the targets of the Makefile, which is what runs the tests"),
    (
        "docs/CONTAINERS.md",
        "needs Docker or a cluster; containers.rs checks its files and settings",
    ),
    (
        "docs/DEPLOY.md",
        "needs root and systemd; scripts/package-check.sh does the same in a folder",
    ),
    (
        "docs/EVAL.md",
        "reads the runs of one's own backend; evals.rs here and of the daemon does the same",
    ),
    ("docs/REAL_MODELS.md", "needs a model; real_model.rs runs one where it is installed"),
    ("docs/TOKENS.md", "asks the reader's own application; tokens.rs runs the recipes"),
    ("examples/axum-backend/README.md", "the commands of docs/EXAMPLES.md"),
    ("examples/express-backend/README.md", "the commands of docs/EXAMPLES.md"),
    ("examples/fastapi-backend/README.md", "the commands of docs/EXAMPLES.md"),
    ("sdk/python/README.md", "sdk_python.rs runs the library's tests, which run its application"),
    (
        "sdk/typescript/README.md",
        "scripts/sdk-typescript.sh packs the library and does what stands there",
    ),
];

/// Pages whose commands are run here.
const RUN: [&str; 10] = [
    "README.md",
    "docs/API.md",
    "docs/BESIDE.md",
    "docs/CLI.md",
    "docs/EXAMPLES.md",
    "docs/FASTAPI.md",
    "docs/GUIDE.md",
    "docs/HOWTO.md",
    "docs/OPERATIONS.md",
    "docs/QUICKSTART.md",
];

#[test]
fn every_page_with_commands_is_run_or_says_why_not() {
    let root = super::root();
    let mut with_commands = std::collections::BTreeSet::new();
    for document in super::links::documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        if !script::blocks(&text).is_empty() {
            let name = document.strip_prefix(&root).unwrap().display().to_string();
            with_commands.insert(name);
        }
    }
    let known = RUN.iter().copied().chain(NOT_RUN.map(|(name, _)| name)).map(str::to_owned);
    assert_eq!(with_commands, known.collect());
}

/// Both run `make demo`, which uses the default ports if they are free, so they run in turn.
#[tokio::test]
async fn the_commands_of_readme_and_quickstart_do_what_stands_there() {
    for name in ["README.md", "docs/QUICKSTART.md"] {
        let Some(reader) = Reader::new().await else { return };
        copy(&reader.dir.path().join("wombat.git"));
        reader.run(name).await;
    }
}

/// What is told of a running project, and done with it.
#[tokio::test]
async fn the_commands_of_the_reference_pages_do_what_stands_there() {
    for name in ["docs/API.md", "docs/CLI.md", "docs/HOWTO.md", "docs/OPERATIONS.md"] {
        let Some(reader) = Reader::new().await else { return };
        reader.run_after_quickstart(name).await;
    }
}

/// Uses the packages of PyPI and npm, so it runs only where those are installed.
#[tokio::test]
async fn the_commands_of_the_examples_do_what_stands_there() {
    let express = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/express-backend");
    let Some(packages) = npm_ci("WOMBAT_TEST_EXPRESS", &express) else { return };
    if pypi("fastapi, jwt, uvicorn").is_none() {
        return;
    }
    let Some(reader) = Reader::new().await else { return };
    reader.installs_npm(&packages);
    copy(&reader.dir.path().join("wombat"));
    reader.run("docs/EXAMPLES.md").await;
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
    reader.run_beside("docs/BESIDE.md", &postgres).await;
}

#[tokio::test]
async fn the_commands_of_the_guide_do_what_stands_there() {
    let Some(reader) = Reader::new().await else { return };
    reader.run("docs/GUIDE.md").await;
}

/// Downloads the application's packages, so it runs only where packages from PyPI are installed.
#[tokio::test]
async fn the_commands_of_the_fastapi_tutorial_do_what_stands_there() {
    if pypi("fastapi, jwt, uvicorn").is_none() {
        return;
    }
    let Some(reader) = Reader::new().await else { return };
    copy(&reader.dir.path().join("wombat.git"));
    reader.run("docs/FASTAPI.md").await;
}
