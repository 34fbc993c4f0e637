//! A SQLite file that cannot be used is refused with what helps, and one that cannot be used any more is
//! told of until it is well again.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;
use test_support::program::Program;
use test_support::wait_for;

use crate::harness::{Answer, Caller, INTERNAL, SECRET, on_postgres, send};
use crate::outages::SmallDisk;

/// A user who is not root.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn settings(file: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("DATABASE_URL", format!("sqlite:{}", file.display())),
        ("MC_PORT", "0".to_owned()),
        ("PATH", std::env::var("PATH").unwrap()),
    ]
}

fn start(dir: &TempDir, file: &Path) -> Program {
    Program::start("wombat-mission-control", dir.path(), &settings(file), &[]).unwrap()
}

/// The program as a user whom the rights of files bind; as this one where that is not root.
fn start_unprivileged(dir: &TempDir, file: &Path) -> Program {
    if !is_root() {
        return start(dir, file);
    }
    mode(dir.path(), 0o755);
    // Where it was built may be root's only.
    let copy = dir.path().join("program");
    if !copy.exists() {
        std::fs::copy(Program::path("wombat-mission-control").unwrap(), &copy).unwrap();
    }
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let arguments = [&user, &group, "--clear-groups", "--", copy.to_str().unwrap()];
    Program::start_path(Path::new("setpriv"), dir.path(), &settings(file), &arguments).unwrap()
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A folder of a program's own, with a database in it that the backend made.
async fn database(dir: &TempDir) -> PathBuf {
    let folder = dir.path().join("data");
    let file = folder.join("mc.db");
    let mut program = start(dir, &file);
    program.url().await.unwrap();
    program.signal(rustix::process::Signal::TERM);
    program.wait().await.unwrap();
    file
}

async fn open(file: &Path) -> AnyConnection {
    wombat_mission_control::store::database::install_drivers_once();
    AnyConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap()
}

/// The line with which it refuses to start.
async fn refusal(mut program: Program) -> String {
    assert!(!program.wait().await.unwrap().success());
    let log = program.full_log().await;
    assert!(!log.contains("listening on"), "{log}");
    let last = log.lines().last().unwrap().to_owned();
    assert!(last.starts_with("wombat-mission-control: ") || last.contains("program: "), "{log}");
    last
}

async fn is_refused(program: Program, file: &Path, words: &[&str]) {
    let line = refusal(program).await;
    for word in words.iter().copied().chain([file.to_str().unwrap()]) {
        assert!(line.contains(word), "{word}: {line}");
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("table.csv");
    std::fs::write(&table, "id,name\n1,x\n").unwrap();
    is_refused(start(&dir, &table), &table, &["not a SQLite database", "name another file"]).await;
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    is_refused(start(&dir, &folder), &folder, &["is a folder", "name a file in it"]).await;
    let below = table.join("below");
    let program = start(&dir, &below.join("mc.db"));
    is_refused(program, &table, &["could not be created"]).await;
    // A newer program's.
    let file = database(&dir).await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (99999, 'later', TRUE, x'00', 1)";
    let mut connection = open(&file).await;
    sqlx::query(newer).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    is_refused(start(&dir, &file), &file, &["newer version", "99999"]).await;
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_file_as_it_was() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mc.db");
    let tables = "SELECT group_concat(name, ' ') FROM sqlite_master WHERE type = 'table'";
    let url = format!("sqlite:{}?mode=rwc", file.display());
    wombat_mission_control::store::database::install_drivers_once();
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    // Somebody's own; a late migration wants this name.
    sqlx::query("CREATE TABLE schedules (mine TEXT)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    is_refused(start(&dir, &file), &file, &["schedules", "already exists"]).await;
    let mut connection = sqlx::AnyConnection::connect(&url).await.unwrap();
    let left: String = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_eq!(left, "schedules");
}

#[tokio::test]
async fn migrations_wait_for_their_turn() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut made = open(&database(&dir).await).await;
    let table = "SELECT sql FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let table: String = sqlx::query_scalar(table).fetch_one(&mut made).await.unwrap();
    made.close().await.unwrap();
    // A file with the list of migrations, and none made.
    let file = dir.path().join("waits.db");
    let url = format!("sqlite:{}?mode=rwc", file.display());
    let mut other = AnyConnection::connect(&url).await.unwrap();
    for statement in ["PRAGMA journal_mode = WAL", table.as_str(), "BEGIN IMMEDIATE"] {
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut other).await.unwrap();
    }
    let mut program = start(&dir, &file);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    program.url().await.unwrap();
    program.kill().await.unwrap();
}

#[tokio::test]
async fn a_file_that_this_user_may_not_write_is_refused_with_uid_and_mode() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = database(&dir).await;
    let folder = file.parent().unwrap().to_owned();
    give(&folder);
    mode(&file, 0o444);
    let told = ["cannot be written by this user (uid ", "mode 0444", "chown"];
    is_refused(start_unprivileged(&dir, &file), &file, &told).await;
    // SQLite needs the folder, too.
    give(&file);
    mode(&file, 0o644);
    mode(&folder, 0o555);
    let told = ["its folder", "mode 0555", "write-ahead log"];
    is_refused(start_unprivileged(&dir, &file), &file, &told).await;
    // A log that another user left.
    mode(&folder, 0o755);
    let log = folder.join("mc.db-wal");
    std::fs::write(&log, "").unwrap();
    mode(&log, 0o400);
    is_refused(start_unprivileged(&dir, &file), &file, &["mc.db-wal", "mode 0400"]).await;
    std::fs::remove_file(&log).unwrap();
    start_unprivileged(&dir, &file).url().await.unwrap();
}

#[tokio::test]
async fn a_read_only_or_full_disk_is_refused() {
    if on_postgres() {
        return;
    }
    let Some(disk) = SmallDisk::new(6) else { return };
    let dir = tempfile::tempdir().unwrap();
    let file = disk.0.path().join("mc.db");
    let mut program = start(&dir, &file);
    program.url().await.unwrap();
    program.signal(rustix::process::Signal::TERM);
    program.wait().await.unwrap();
    disk.fill();
    is_refused(start(&dir, &file), &file, &["is full", "make room"]).await;
    std::fs::remove_file(disk.filler()).unwrap();
    let mut mount = Command::new("mount");
    let mount = mount.args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(mount.success());
    let told = ["mounted read-only", "mount it for writing"];
    is_refused(start(&dir, &file), &file, &told).await;
}

#[tokio::test]
async fn a_locked_file_is_refused() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = database(&dir).await;
    let mut other = open(&file).await;
    for statement in ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"] {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }
    let told = ["another program holds it locked", "end that program"];
    is_refused(start(&dir, &file), &file, &told).await;
}

/// What the probes of a running backend say.
struct Probes {
    ready: Answer,
    alive: Answer,
}

async fn probes(url: &str) -> Probes {
    let get = async |path: &str| send(Caller::of(url).raw(Method::GET, path)).await;
    Probes { ready: get("/readyz").await, alive: get("/livez").await }
}

/// Waits until both probes tell of the trouble, in these words.
async fn is_told(url: &str, words: &str) {
    let told = async || {
        let Probes { ready, alive } = probes(url).await;
        assert_eq!(alive.status, StatusCode::OK, "{}", alive.text);
        (ready.status == StatusCode::SERVICE_UNAVAILABLE && ready.text.contains(words))
            .then_some((ready, alive))
    };
    let (ready, alive) = wait_for(&format!("/readyz says {words}"), told).await;
    assert!(ready.headers.contains_key("retry-after"), "{}", ready.text);
    let body: Value = serde_json::from_str(&alive.text).unwrap();
    assert_eq!(body["status"], "degraded", "{body}");
    assert!(body["reason"].as_str().unwrap().contains(words), "{body}");
}

async fn is_well(url: &str) {
    let well = async || {
        let Probes { ready, alive } = probes(url).await;
        (ready.text == "ok" && alive.text == "ok").then_some(())
    };
    wait_for("the backend is well again", well).await;
}

#[tokio::test]
async fn a_file_that_is_locked_deleted_or_replaced_is_503_until_it_is_back() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mc.db");
    let mut program = start(&dir, &file);
    let url = program.url().await.unwrap();
    let agent = Caller::of(&url).by_agent("ann", "scout");
    agent.task("before").await;
    is_well(&url).await;
    let mut other = open(&file).await;
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let answer = agent.post("/tasks", json!({ "title": "locked" })).await;
    answer.fails(503, "unavailable");
    assert!(answer.text.contains("another program holds it locked"), "{}", answer.text);
    is_told(&url, "locked").await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    is_well(&url).await;
    agent.task("unlocked").await;
    // Written to, it would be lost with the process.
    let away = dir.path().join("away.db");
    std::fs::rename(&file, &away).unwrap();
    for replaced in [false, true] {
        if replaced {
            std::fs::write(&file, "").unwrap();
        }
        let answer = agent.post("/tasks", json!({ "title": "lost" })).await;
        answer.fails(503, "unavailable");
        assert!(answer.text.contains("deleted or replaced"), "{}", answer.text);
        is_told(&url, "deleted or replaced").await;
    }
    std::fs::rename(&away, &file).unwrap();
    is_well(&url).await;
    agent.task("back").await;
    assert_eq!(agent.get("/tasks").await.items().len(), 3);
}

#[tokio::test]
async fn a_disk_that_fills_up_is_told_of_until_there_is_room() {
    if on_postgres() {
        return;
    }
    let Some(disk) = SmallDisk::new(6) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut program = start(&dir, &disk.0.path().join("mc.db"));
    let url = program.url().await.unwrap();
    let agent = Caller::of(&url).by_agent("ann", "scout");
    agent.task("before").await;
    disk.fill();
    let long = "x".repeat(300_000);
    let full = async || {
        let new = json!({ "title": "long", "description": long });
        let answer = agent.post("/tasks", new).await;
        (answer.status != StatusCode::OK).then_some(answer)
    };
    let answer = wait_for("the disk is full", full).await;
    answer.fails(503, "unavailable");
    assert!(answer.text.contains("make room"), "{}", answer.text);
    is_told(&url, "make room").await;
    std::fs::remove_file(disk.filler()).unwrap();
    // By itself, though nobody writes.
    is_well(&url).await;
    agent.task("after").await;
}

#[tokio::test]
async fn rights_that_are_taken_away_are_told() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = database(&dir).await;
    give(file.parent().unwrap());
    give(&file);
    let mut program = start_unprivileged(&dir, &file);
    let url = program.url().await.unwrap();
    is_well(&url).await;
    mode(&file, 0o444);
    is_told(&url, "mode 0444").await;
    mode(&file, 0o644);
    is_well(&url).await;
}

/// Another program that opens the database and closes it again, as `sqlite3` or a copy's program does.
async fn open_and_close(dir: &TempDir, file: &Path) {
    let program = "wombat-mission-control";
    let mut export =
        Program::start(program, dir.path(), &settings(file), &["audit", "export"]).unwrap();
    assert!(export.wait().await.unwrap().success(), "{}", export.full_log().await);
}

#[tokio::test]
async fn nothing_is_lost_when_another_program_closes_the_database_after_a_probe() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mc.db");
    let mut program = start(&dir, &file);
    let url = program.url().await.unwrap();
    let agent = Caller::of(&url).by_agent("ann", "scout");
    agent.task("before").await;
    // Probes must not take SQLite's locks away.
    is_well(&url).await;
    open_and_close(&dir, &file).await;
    assert!(file.with_file_name("mc.db-wal").exists(), "the log is still written");
    agent.task("after").await;
    program.kill().await.unwrap();
    let mut program = start(&dir, &file);
    let url = program.url().await.unwrap();
    let agent = Caller::of(&url).by_agent("ann", "scout");
    assert_eq!(agent.get("/tasks").await.items().len(), 2);
}

#[tokio::test]
async fn probes_do_not_tell_where_the_database_is() {
    if on_postgres() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mc.db");
    let mut program = start(&dir, &file);
    let url = program.url().await.unwrap();
    is_well(&url).await;
    std::fs::rename(&file, dir.path().join("away.db")).unwrap();
    is_told(&url, "deleted or replaced").await;
    let Probes { ready, alive } = probes(&url).await;
    let path = file.to_str().unwrap();
    assert!(!ready.text.contains(path) && !alive.text.contains(path), "{} {}", ready.text, alive.text);
    assert!(program.log().contains(path), "{}", program.log());
}

/// A stop in the first moments meets connections that are just being opened.
#[tokio::test]
async fn a_stopped_backend_leaves_its_file_whole_without_a_log() {
    if on_postgres() {
        return;
    }
    let stops = (0..24).map(|_| async {
        let dir = tempfile::tempdir().unwrap();
        let file = database(&dir).await;
        for beside in ["mc.db-wal", "mc.db-shm"] {
            assert!(!file.with_file_name(beside).exists(), "{beside} is left");
        }
    });
    futures::stream::iter(stops).buffer_unordered(6).collect::<Vec<()>>().await;
}
