//! A real PgBouncer before a PostgreSQL server, reachable by its socket only.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::postgres::{Postgres, command, temporary};
use crate::{PATIENCE, lacks};

/// Where Debian installs it.
const INSTALLED: &str = "/usr/sbin/pgbouncer";

/// The port in its socket's name.
const PORT: u16 = 6432;

/// Which of the installed versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The system's own.
    Installed,
    /// The one that `WOMBAT_TEST_PGBOUNCER` names.
    Other,
}

/// A pooler that runs until this is dropped, or until the process that started it is killed.
#[derive(Debug)]
pub struct Pooler {
    dir: TempDir,
    child: Child,
}

impl Pooler {
    /// Starts one before a server, with a `pool_mode` and further settings. `None` where it is not
    /// installed; the test is then skipped.
    ///
    /// # Panics
    /// When it does not start; and when it is not installed though `WOMBAT_TEST_ALL` is set.
    pub fn start(server: &Postgres, version: Version, mode: &str, settings: &str) -> Option<Self> {
        let program = match version {
            Version::Installed => Some(PathBuf::from(INSTALLED)).filter(|path| path.exists()),
            Version::Other => std::env::var_os("WOMBAT_TEST_PGBOUNCER").map(PathBuf::from),
        };
        let Some(program) = program else {
            lacks("PgBouncer", "pgbouncer");
            return None;
        };
        let dir = temporary();
        // It does not run as root; so it is copied to where its user can read it.
        let own = dir.path().join("pgbouncer");
        fs::copy(program, &own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
        let (here, there) = (dir.path().display(), server.folder().display());
        let users = "\"postgres\" \"\"\n\"app\" \"\"\n";
        fs::write(dir.path().join("users"), users).unwrap();
        let text = format!(
            "[databases]\n* = host={there}\n[pgbouncer]\nunix_socket_dir = {here}\nlisten_port = {PORT}\n\
             auth_type = trust\nauth_file = {here}/users\npool_mode = {mode}\n{settings}\n"
        );
        let file = dir.path().join("pgbouncer.ini");
        fs::write(&file, text).unwrap();
        let child = command(&own).arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let pooler = Self { child: child.unwrap(), dir };
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(pooler.folder().join(format!(".s.PGSQL.{PORT}"))).is_err() {
            assert!(Instant::now() < deadline, "PgBouncer does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(pooler)
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// The port in its socket's name.
    #[must_use]
    pub fn port(&self) -> u16 {
        PORT
    }

    /// The URL of the database `wombat` by way of it.
    #[must_use]
    pub fn url(&self) -> String {
        let folder = self.folder().display();
        format!("postgres://postgres@localhost/wombat?host={folder}&port={PORT}")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
