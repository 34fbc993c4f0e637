//! The applications of `examples/beside`, and one of them running with its agent.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::llm::ScriptedLlm;
use test_support::postgres::Postgres;
use test_support::program::Program;
use test_support::wait_for;
use tokio::process::Command;

use super::person::Person;
use crate::peers::{beside_node, beside_python, free_port};

/// A call of a tool.
type Call = (&'static str, Value);

/// An application: what it is called and how it calls things.
pub(super) struct Application {
    pub(super) name: &'static str,
    /// What a person adds to `.env`; the rest is written by `init`.
    pub(super) env: &'static [&'static str],
    /// The address of its OpenAPI document.
    pub(super) document: &'static str,
    pub(super) paths: Paths,
    /// What a person sends to write a row with this title.
    pub(super) row: fn(&str) -> Value,
    /// `SELECT` of owner and title of all rows.
    pub(super) rows: &'static str,
    /// What it says of a row of somebody else.
    pub(super) not_found: &'static str,
    pub(super) create: fn(&str) -> Call,
    pub(super) change: fn(i64) -> Call,
    pub(super) delete: fn(i64) -> Call,
}

pub(super) struct Paths {
    pub(super) register: &'static str,
    pub(super) login: &'static str,
    pub(super) rows: &'static str,
    pub(super) assistant: &'static str,
}

pub(super) const APPLICATIONS: [Application; 3] = [
    Application {
        name: "fastapi",
        env: &["OPENAI_API_KEY=sk-test"],
        document: "/openapi.json",
        paths: Paths {
            register: "/register",
            login: "/login",
            rows: "/todos",
            assistant: "/assistant",
        },
        row: |title| json!({ "title": title }),
        rows: "SELECT owner_id, title FROM todos ORDER BY id",
        not_found: "No such to-do",
        create: |title| ("create_todo", json!({ "body": { "title": title } })),
        change: |id| {
            let body = json!({ "todo_id": id, "body": { "title": "taken" } });
            ("change_todo", body)
        },
        delete: |id| ("delete_todo", json!({ "todo_id": id })),
    },
    Application {
        name: "express",
        env: &["OPENAI_API_KEY=sk-test"],
        document: "/api-docs.json",
        paths: Paths {
            register: "/register",
            login: "/login",
            rows: "/api/invoices",
            assistant: "/assistant",
        },
        row: |title| json!({ "customer": title, "cents": 1200 }),
        rows: "SELECT user_id, customer FROM invoices ORDER BY id",
        not_found: "No such invoice",
        create: |title| ("createInvoice", json!({ "body": { "customer": title, "cents": 4200 } })),
        change: |id| ("changeInvoice", json!({ "id": id, "body": { "paid": true } })),
        delete: |id| ("deleteInvoice", json!({ "id": id })),
    },
    Application {
        name: "django",
        env: &["OPENAI_API_KEY=sk-test", "AGENT_JWT_BEARER=true"],
        document: "/api/schema/",
        paths: Paths {
            register: "/api/register/",
            login: "/api/login/",
            rows: "/api/expenses/",
            assistant: "/api/assistant/",
        },
        row: |title| json!({ "description": title, "amount": "12.50", "category": "food" }),
        rows: "SELECT owner_id, description FROM expenses_expense ORDER BY id",
        not_found: "No Expense matches the given query",
        create: |title| {
            let body = json!({ "description": title, "amount": "42.00", "day": null });
            ("expenses_create", json!({ "body": body }))
        },
        change: |id| {
            let body = json!({ "id": id, "body": { "description": "taken" } });
            ("expenses_partial_update", body)
        },
        delete: |id| ("expenses_destroy", json!({ "id": id })),
    },
];

fn folder(application: &Application) -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/beside");
    examples.join(application.name).canonicalize().unwrap()
}

/// The patch as the page shows it: without the lines that only Git reads.
pub(super) fn shown_patch(application: &Application) -> String {
    let patch = std::fs::read_to_string(folder(application).join("agent.patch")).unwrap();
    let is_for_git = |line: &&str| line.starts_with("diff ") || line.starts_with("index ");
    patch.lines().filter(|line| !is_for_git(line)).map(|line| format!("{line}\n")).collect()
}

/// The lines that a person adds: those of the patch that are not empty.
pub(super) fn added_lines(application: &Application) -> Vec<String> {
    let patch = std::fs::read_to_string(folder(application).join("agent.patch")).unwrap();
    let added = patch.lines().filter(|line| !line.starts_with("+++"));
    let added = added.filter_map(|line| line.strip_prefix('+'));
    added.filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// An application in a folder of its own, with its database; and what runs beside it.
pub(super) struct Running {
    pub(super) application: &'static Application,
    pub(super) url: String,
    postgres: Postgres,
    dir: TempDir,
    python: PathBuf,
    port: u16,
    program: Option<Program>,
    wombat: Vec<Program>,
}

impl Running {
    /// The application as it is, with two roles in its database. `None` where its packages or
    /// PostgreSQL are not installed; the test is then skipped.
    pub(super) async fn before(application: &'static Application) -> Option<Self> {
        let python = beside_python()?;
        let node = beside_node()?;
        let postgres = Postgres::start(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        for role in ["app", "wombat"] {
            postgres.say_in("wombat", &format!("CREATE ROLE {role} LOGIN"));
        }
        postgres.say_in("wombat", "CREATE DATABASE app OWNER app");
        postgres.say_in("app", "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        postgres.say_in("app", "CREATE SCHEMA wombat AUTHORIZATION wombat");
        let dir = tempfile::tempdir().unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-r").arg(folder(application).join(".")).arg(dir.path());
        assert!(copy.status().await.unwrap().success());
        std::os::unix::fs::symlink(node.join("node_modules"), dir.path().join("node_modules"))
            .unwrap();
        let (port, daemon, plane) = (free_port(), free_port(), free_port());
        let url = format!("http://127.0.0.1:{port}");
        let mut running = Self {
            application,
            url,
            postgres,
            dir,
            python,
            port,
            program: None,
            wombat: Vec::new(),
        };
        // What an application has; and two ports, as many tests run at once.
        let own = format!(
            "DATABASE_URL={}\nSESSION_SECRET=for-the-sessions-of-the-application\n\
             SECRET_KEY=for-the-sessions-of-the-application\nPORT={port}\n\
             WOMBAT_PORT={daemon}\nMC_PORT={plane}\n",
            running.database("app", "postgresql+psycopg").replace("+psycopg", running.driver()),
        );
        std::fs::write(running.dir.path().join(".env"), own).unwrap();
        running.start().await;
        Some(running)
    }

    /// SQLAlchemy's name of its driver.
    fn driver(&self) -> &'static str {
        if self.application.name == "fastapi" { "+psycopg" } else { "" }
    }

    fn database(&self, role: &str, scheme: &str) -> String {
        format!("{scheme}://{role}@localhost/app?host={}", self.postgres.folder().display())
    }

    fn environment() -> Vec<(&'static str, String)> {
        vec![("PATH", std::env::var("PATH").unwrap()), ("PYTHONDONTWRITEBYTECODE", "1".to_owned())]
    }

    /// Starts the application, or starts it again.
    async fn start(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.kill().await.unwrap();
        }
        let (port, environment) = (self.port.to_string(), Self::environment());
        let python = self.python.clone();
        let address = format!("127.0.0.1:{port}");
        let (program, arguments): (&Path, Vec<&str>) = match self.application.name {
            "fastapi" => (&python, vec!["-m", "uvicorn", "app.main:app", "--port", &port]),
            "express" => (Path::new("node"), vec!["--env-file=.env", "src/server.js"]),
            _ => (&python, vec!["manage.py", "runserver", "--noreload", &address]),
        };
        if self.application.name == "django" {
            let mut migrate = Command::new(&python);
            migrate.args(["manage.py", "migrate", "--verbosity", "0"]).current_dir(self.dir.path());
            let migrated = migrate.env_clear().envs(environment.clone()).output().await.unwrap();
            assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        }
        let started = Program::start_path(program, self.dir.path(), &environment, &arguments);
        let program = self.program.insert(started.unwrap());
        let document = format!("{}{}", self.url, self.application.document);
        wait_for("the application", async || {
            let ended = program.id().is_none();
            assert!(!ended, "{}", program.log());
            reqwest::get(&document).await.ok().filter(|answer| answer.status().is_success())
        })
        .await;
    }

    /// A new user of the application.
    pub(super) async fn register(&self, email: &str) -> Person {
        Person::register(self, email).await
    }

    /// `wombat-daemon` with a command, in the application's folder; returns what it says.
    async fn daemon(&self, arguments: &[&str]) -> String {
        let mut daemon = Command::new(Program::path("wombat-daemon").unwrap());
        daemon.args(arguments).current_dir(self.dir.path()).env_clear().kill_on_drop(true);
        let ended = daemon.output().await.unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(ended.status.success(), "{arguments:?}: {said}");
        said
    }

    pub(super) async fn init(&self) -> String {
        self.daemon(&["init", "--beside", &self.url]).await
    }

    pub(super) async fn check(&self) -> String {
        self.daemon(&["check"]).await
    }

    /// Adds what a person adds, and starts the application again.
    pub(super) async fn patch(&mut self) {
        let mut apply = Command::new("git");
        apply.args(["apply", "agent.patch"]).current_dir(self.dir.path());
        let applied = apply.output().await.unwrap();
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        self.add_to_env(self.application.env);
        self.start().await;
    }

    fn add_to_env(&self, lines: &[&str]) {
        let file = self.dir.path().join(".env");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{}\n", lines.join("\n"))).unwrap();
    }

    /// The reference backend, with a role of its own that may make nothing in `public`, and the daemon.
    pub(super) async fn start_wombat(&mut self, llm: &ScriptedLlm) {
        self.add_to_env(&[&format!("OPENAI_BASE_URL={}", llm.base_url())]);
        let url = self.database("wombat", "postgresql");
        for (name, settings) in [
            ("wombat-mission-control", vec![("MC_DATABASE_URL", url)]),
            ("wombat-daemon", Vec::new()),
        ] {
            let mut program = Program::start(name, self.dir.path(), &settings, &[]).unwrap();
            program.url().await.unwrap();
            self.wombat.push(program);
        }
    }

    /// The secret that `init` made.
    pub(super) fn secret(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join(".env")).unwrap();
        let secret = text.lines().find_map(|line| line.strip_prefix("AGENT_JWT_SECRET="));
        secret.unwrap().to_owned()
    }

    /// All rows of the application, `owner|title`.
    pub(super) fn rows(&self) -> Vec<String> {
        self.say(self.application.rows).lines().map(str::to_owned).collect()
    }

    pub(super) fn say(&self, statement: &str) -> String {
        self.postgres.say_in("app", statement)
    }

    pub(super) fn log(&self) -> String {
        let programs = self.program.iter().chain(&self.wombat);
        programs.map(|program| format!("{}:\n{}", program.name(), program.log())).collect()
    }

    /// Stops what runs beside the application.
    pub(super) async fn stop(&mut self) {
        for mut program in self.wombat.drain(..) {
            assert!(program.stop().await.unwrap().success(), "{}", program.log());
        }
    }
}
