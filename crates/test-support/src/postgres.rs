//! A real PostgreSQL server for one test, in a temporary folder, reachable by its socket only.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{PATIENCE, lacks, lacks_package};

/// The folder where Debian installs the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// The file name of the socket for the default port.
pub(crate) const SOCKET: &str = ".s.PGSQL.5432";

/// How long a server may take to stop; with a connection being opened it would take a minute.
const LAST_WORK: Duration = Duration::from_millis(500);

/// A server that runs until this is dropped, or until the process that started it is killed.
#[derive(Debug)]
pub struct Postgres {
    dir: TempDir,
    bin: PathBuf,
    /// Whether data survives a crash of the machine: slow, needed by few tests.
    durable: bool,
    child: Option<Child>,
}

/// The folder of the newest version's programs.
fn programs() -> Option<PathBuf> {
    let on_path = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let mut versions: Vec<_> = fs::read_dir(VERSIONS)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    versions.sort();
    versions.into_iter().rev().chain(on_path).find(|bin| bin.join("initdb").exists())
}

/// User and group of the server, which refuses to run as root; `None` when this is not root.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = |name: &str| users.lines().find(|line| line.starts_with(&format!("{name}:")));
    let mut fields = line("postgres").or_else(|| line("nobody")).unwrap().split(':').skip(2);
    let mut next = || fields.next().unwrap().parse().unwrap();
    Some((next(), next()))
}

/// A command run as that user, which is killed when the thread that started it ends.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((user, group)) = user() {
        command.arg(format!("--reuid={user}")).arg(format!("--regid={group}"));
        command.arg("--clear-groups");
    }
    command.arg("--").arg(program);
    command
}

#[track_caller]
fn success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Creates an empty cluster once, and keeps it for other tests in a folder that outlives them.
fn template(bin: &Path, kept: &Path) -> PathBuf {
    let version = Command::new(bin.join("postgres")).arg("--version").output().unwrap();
    let version =
        String::from_utf8_lossy(&version.stdout).replace(|c: char| !c.is_alphanumeric(), "-");
    let place = kept.join(format!("cluster-of-{version}"));
    if place.exists() {
        return place;
    }
    let dir = temporary();
    let made = dir.path().join("data");
    let options =
        ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N", "--wal-segsize=1"];
    success(&command(&bin.join("initdb")).arg("-D").arg(&made).args(options).output().unwrap());
    // Of several that make it at once, also in one process, the first counts.
    let own = tempfile::tempdir_in(kept).unwrap();
    copy(&made, &own.path().join("data"));
    if fs::rename(own.path().join("data"), &place).is_err() {
        assert!(place.exists(), "{} cannot be made", place.display());
    }
    place
}

fn copy(from: &Path, to: &Path) {
    success(&Command::new("cp").arg("-r").arg(from).arg(to).output().unwrap());
}

/// A folder that the server's user may write to.
pub(crate) fn temporary() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    if let Some((user, group)) = user() {
        chown(dir.path(), Some(user), Some(group)).unwrap();
    }
    dir
}

impl Postgres {
    /// Starts a server with one empty database, `wombat`. `kept` is a folder that outlives the
    /// test, such as `CARGO_TARGET_TMPDIR`. `None` where PostgreSQL is not
    /// installed; the test is then skipped.
    ///
    /// # Panics
    /// When it does not start; and when it is not installed though `WOMBAT_TEST_ALL` is set.
    pub fn start(kept: &Path) -> Option<Self> {
        Self::start_on(kept, temporary(), false)
    }

    /// The same with durable writes: for tests that kill the server.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn start_durable(kept: &Path) -> Option<Self> {
        Self::start_on(kept, temporary(), true)
    }

    /// Starts the server whose programs are below the folder that `WOMBAT_TEST_POSTGRES` names:
    /// another version than the system's.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn start_other(kept: &Path) -> Option<Self> {
        let Some(from) = std::env::var_os("WOMBAT_TEST_POSTGRES") else {
            lacks("another version of PostgreSQL", "databases");
            return None;
        };
        // Where the server's user can read it.
        let dir = temporary();
        copy(Path::new(&from), &dir.path().join("programs"));
        let open = ["-R", "a+rX"];
        success(
            &Command::new("chmod").args(open).arg(dir.path().join("programs")).output().unwrap(),
        );
        let bin = dir.path().join("programs/bin");
        Some(Self::start_by(bin, kept, dir, false))
    }

    fn start_on(kept: &Path, dir: TempDir, durable: bool) -> Option<Self> {
        let Some(bin) = programs() else {
            lacks_package("PostgreSQL", "postgresql");
            return None;
        };
        Some(Self::start_by(bin, kept, dir, durable))
    }

    fn start_by(bin: PathBuf, kept: &Path, dir: TempDir, durable: bool) -> Self {
        let template = template(&bin, kept);
        copy(&template, &dir.path().join("data"));
        let mut server = Self { dir, bin, durable, child: None };
        server.own();
        server.up();
        server.say("CREATE DATABASE wombat");
        server
    }

    /// Executes a statement in the database `postgres`.
    fn say(&self, statement: &str) {
        self.say_in("postgres", statement);
    }

    /// Executes a statement as the superuser, and returns the values that it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn say_in(&self, database: &str, statement: &str) -> String {
        self.say_at(self.dir.path(), 5432, database, statement)
    }

    /// The same over another socket, such as a pooler's.
    ///
    /// # Panics
    /// When it fails.
    pub fn say_at(&self, folder: &Path, port: u16, database: &str, statement: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-A", "-t", "-U", "postgres", "-d", database, "-c", statement, "-h"]);
        let output = psql.arg(folder).args(["-p", &port.to_string()]).output().unwrap();
        success(&output);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A standby of this server, which replays what this one writes.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn standby(&self) -> Self {
        let dir = temporary();
        let mut copy = command(&self.bin.join("pg_basebackup"));
        copy.args(["-U", "postgres", "-R", "-c", "fast", "-X", "stream", "-h"]);
        let copy = copy.arg(self.dir.path()).arg("-D").arg(dir.path().join("data"));
        success(&copy.output().unwrap());
        let bin = self.bin.clone();
        let mut standby = Self { dir, bin, durable: false, child: None };
        standby.own();
        standby.up();
        standby
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The URL of one more database, `elsewhere`, whose tables are in another folder.
    ///
    /// # Panics
    /// When there is such a database already.
    #[must_use]
    pub fn with_tables_in(&self, folder: &Path) -> String {
        if let Some((user, group)) = user() {
            chown(folder, Some(user), Some(group)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        self.say(&format!("CREATE TABLESPACE elsewhere LOCATION '{}'", folder.display()));
        self.say("CREATE DATABASE elsewhere TABLESPACE elsewhere");
        self.url().replace("/wombat?", "/elsewhere?")
    }

    fn own(&self) {
        let data = self.data();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        if let Some((user, group)) = user() {
            let whom = format!("{user}:{group}");
            success(&Command::new("chown").arg("-R").arg(whom).arg(data).output().unwrap());
        }
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts it again after it was stopped or killed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn up(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // What is left of a killed one may need a moment to notice.
        while !self.try_up() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn try_up(&mut self) -> bool {
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = command(&self.bin.join("postgres"));
        command.arg("-D").arg(self.data()).arg("-k").arg(self.dir.path());
        let cheap = if self.durable { "on" } else { "off" };
        let settings = ["listen_addresses=", "shared_buffers=8MB", "max_connections=60"];
        let fsync = format!("fsync={cheap}");
        for setting in settings.into_iter().chain([fsync.as_str()]) {
            command.arg("-c").arg(setting);
        }
        let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let ready = fs::read_to_string(self.data().join("postmaster.pid"))
                .is_ok_and(|text| text.lines().nth(7).is_some_and(|line| line.trim() == "ready"));
            if ready && UnixStream::connect(self.dir.path().join(SOCKET)).is_ok() {
                self.child = Some(child);
                return true;
            }
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = child.kill();
        let _status = child.wait();
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/wombat?host={}", self.dir.path().display())
    }

    fn end(&mut self, signal: Signal) {
        if let Some(mut child) = self.child.take() {
            let id = Pid::from_child(&child);
            let _gone = kill_process(id, signal);
            let _status = child.wait();
        }
    }

    /// Kills it in the middle of whatever it does.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Stops it as a restart would: open connections are closed.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that does not end is killed: what it leaves in memory is a few bytes.
        let Some(child) = &mut self.child else { return };
        let _gone = kill_process(Pid::from_child(child), Signal::INT);
        let deadline = Instant::now() + LAST_WORK;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }
}
