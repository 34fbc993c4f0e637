//! Where a document's commands are run: free ports, built programs, and a model that answers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use test_support::llm::{Reply, ScriptedLlm};
use test_support::postgres::Postgres;
use test_support::program::Program;
use tokio::io::AsyncReadExt as _;

use super::super::root;
use super::script::{Block, blocks, script};
use crate::peers::{free_port, installed};

/// Timeout for the commands of one document.
const PATIENCE: Duration = Duration::from_secs(300);

/// The tools that a reader needs.
const TOOLS: [&str; 6] = ["bash", "git", "make", "curl", "openssl", "sqlite3"];

/// The programs that the commands start.
const PROGRAMS: [&str; 7] = [
    "axum-backend",
    "wombat-daemon",
    "wombat-dispatcher",
    "wombat-heartbeat",
    "wombat-mission-control",
    "wombat-standup",
    "xtask",
];

/// A stand-in for `cargo` that supports what the documents use.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
  --version) echo "cargo, whose builds are done" ;;
  build) mkdir -p target && ln -sfn "$BUILT" target/debug ;;
  run)
    shift
    while [ $# -gt 0 ]; do
      case "$1" in
        --quiet) shift ;;
        -p) program=$2; shift 2 ;;
        --) shift; break ;;
        *) break ;;
      esac
    done
    exec "$BUILT/$program" "$@" ;;
  *) echo "cargo $*: not done here" >&2; exit 1 ;;
esac
"#;

/// The address that a document's `git clone` names.
fn address() -> String {
    format!("{}.git", super::super::install::repository())
}

/// A copy of this repository as it is now, for readers to clone.
pub(in super::super) fn copy(to: &Path) {
    let root = root();
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&root)
        .output()
        .unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().split('\0') {
        let (source, target) = (root.join(name), to.join(name));
        if name.is_empty() || !source.is_file() {
            continue;
        }
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(source, target).unwrap();
    }
    let git = |arguments: &[&str]| {
        let done = Command::new("git")
            .args(["-c", "user.name=reader", "-c", "user.email=reader@localhost"])
            .args(arguments)
            .current_dir(to)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    git(&["init", "--quiet"]);
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "--message", "As it is now"]);
}

/// Runs a document's commands in a temporary folder, with a scripted model.
pub(super) struct Reader {
    pub(super) dir: tempfile::TempDir,
    programs: PathBuf,
    model: ScriptedLlm,
    /// Of the backend (or the application), the daemon, and the control plane beside an application.
    ports: [u16; 3],
}

impl Reader {
    /// `None` where a tool is missing; the test is then skipped.
    pub(super) async fn new() -> Option<Self> {
        for tool in TOOLS {
            installed(tool)?;
        }
        let dir = tempfile::tempdir().unwrap();
        let built = PROGRAMS.map(|name| Program::path(name).unwrap());
        let programs = built[0].parent().unwrap().to_owned();
        let shims = dir.path().join("shims");
        std::fs::create_dir(&shims).unwrap();
        std::fs::write(shims.join("cargo"), CARGO).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(shims.join("cargo"), mode).unwrap();
        let model = ScriptedLlm::start((0..50).map(|_| Reply::text("Here you are."))).await;
        Some(Self { dir, programs, model, ports: [free_port(), free_port(), free_port()] })
    }

    /// Makes `npm ci` link these packages, which are those of the `package-lock.json`.
    pub(super) fn installs_npm(&self, packages: &Path) {
        let npm = installed("npm").unwrap();
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = ci ] || exec {} \"$@\"\nln -s {}/node_modules node_modules\n",
            npm.display(),
            packages.display()
        );
        let shim = self.dir.path().join("shims/npm");
        std::fs::write(&shim, text).unwrap();
        std::fs::set_permissions(shim, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Replaces ports and addresses by those of this machine.
    fn fill(&self, text: &str) -> String {
        let [backend, daemon, plane] = self.ports;
        text.replace(":8000", &format!(":{backend}"))
            .replace(":8081", &format!(":{daemon}"))
            .replace(":8082", &format!(":{plane}"))
            .replace(
                "OPENAI_API_KEY=sk-",
                &format!("OPENAI_BASE_URL={} OPENAI_API_KEY=sk-", self.model.base_url()),
            )
            .replace("--port 8000", &format!("--port {backend}"))
            .replace(&address(), &self.dir.path().join("wombat.git").display().to_string())
    }

    /// Runs the commands of a document.
    pub(super) async fn run(&self, name: &str) {
        self.run_in(name, &self.ports()).await;
    }

    /// The settings that lead the programs to their ports.
    fn ports(&self) -> [(&'static str, String); 6] {
        let [backend, daemon, _] = self.ports;
        [
            ("PORT", backend.to_string()),
            ("WOMBAT_URL", format!("http://127.0.0.1:{daemon}")),
            ("MC_PORT", backend.to_string()),
            ("WOMBAT_PORT", daemon.to_string()),
            ("BACKEND_URL", format!("http://127.0.0.1:{backend}")),
            ("AGENT_DAEMON_URL", format!("http://127.0.0.1:{daemon}")),
        ]
    }

    /// The same with an application, which has its tables in this PostgreSQL.
    pub(super) async fn run_beside(&self, name: &str, postgres: &Postgres) {
        let [_, daemon, plane] = self.ports;
        let environment = [
            ("MC_PORT", plane.to_string()),
            ("WOMBAT_PORT", daemon.to_string()),
            ("PGHOST", postgres.folder().display().to_string()),
            ("PGUSER", "postgres".to_owned()),
        ];
        self.run_in(name, &environment).await
    }

    /// The same in the project of the quickstart, whose three programs run.
    pub(super) async fn run_after_quickstart(&self, name: &str) {
        let quickstart = std::fs::read_to_string(root().join("docs/QUICKSTART.md")).unwrap();
        let begin = quickstart.find("\n## 3. ").unwrap();
        let end = quickstart.find("\nIn a fourth one").unwrap();
        let before = quickstart[..begin].lines().count();
        let project = "```sh\nmkdir shell\ncd shell\n```\n".to_owned() + &quickstart[begin..end];
        let mut first = blocks(&self.fill(&project));
        for block in &mut first {
            block.line += before;
        }
        let read = blocks("```sh\n. ./.env\n```\n");
        first.extend(read);
        self.run_script(&[("docs/QUICKSTART.md", first), (name, self.blocks(name))], &self.ports())
            .await;
    }

    fn blocks(&self, name: &str) -> Vec<Block> {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        let blocks = blocks(&self.fill(&text));
        assert!(!blocks.is_empty(), "{name} has no commands");
        blocks
    }

    async fn run_in(&self, name: &str, environment: &[(&str, String)]) {
        self.run_script(&[(name, self.blocks(name))], environment).await;
    }

    async fn run_script(&self, documents: &[(&str, Vec<Block>)], environment: &[(&str, String)]) {
        let name = documents.iter().map(|(name, _)| *name).next_back().unwrap();
        let path = self.dir.path().join("commands.sh");
        std::fs::write(&path, script(documents)).unwrap();
        let system = std::env::var("PATH").unwrap();
        let (shims, top) = (self.dir.path().join("shims"), self.dir.path());
        let mut child = tokio::process::Command::new("bash")
            .arg(&path)
            .current_dir(top)
            .env_clear()
            .env("PATH", format!("{}:{}:{system}", shims.display(), self.programs.display()))
            .env("HOME", top)
            .env("TOP", top)
            // Not a name that the Makefile uses: make would pass its own value on.
            .env("BUILT", &self.programs)
            .env("LANG", "C.UTF-8")
            // What pip has fetched before.
            .env("PIP_CACHE_DIR", std::env::temp_dir().join("wombat-test-pip"))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (mut told, mut complained) = (String::new(), String::new());
        let ended = tokio::time::timeout(PATIENCE, async {
            let reading = (out.read_to_string(&mut told), err.read_to_string(&mut complained));
            let (_, _, ended) = tokio::join!(reading.0, reading.1, child.wait());
            ended.unwrap()
        });
        let ended = ended.await;
        if ended.is_err() {
            self.stop(child.id());
        }
        let success = ended.as_ref().is_ok_and(std::process::ExitStatus::success);
        assert!(success, "{name}: {ended:?}\n{told}\n{complained}");
    }

    /// Stops a script that does not end, with all that it has started.
    fn stop(&self, script: Option<u32>) {
        let jobs = std::fs::read_to_string(self.dir.path().join("jobs")).unwrap_or_default();
        let group = |id: &str| Pid::from_raw(id.parse().ok()?);
        for job in jobs.lines().filter_map(group) {
            let _gone = kill_process_group(job, Signal::TERM);
        }
        if let Some(script) = script.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            let _gone = kill_process(script, Signal::KILL);
        }
    }
}
