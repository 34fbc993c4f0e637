//! The applications: how each is started, and what it prints of the calls that it gets.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use test_support::program::Program;

use crate::peers;

/// How an application is started, below `tests/frameworks`.
#[derive(Clone, Copy)]
enum Run {
    /// A script of Python, below `python`.
    Python(&'static str),
    /// Arguments of Node, below `node`.
    Node(&'static [&'static str]),
}

/// A framework and its application.
pub(crate) struct Framework {
    pub(crate) name: &'static str,
    /// The package whose version is shown: the one that writes the document.
    package: &'static str,
    run: Run,
    /// The address of the document that the framework itself chooses.
    pub(crate) document: &'static str,
}

const fn python(
    name: &'static str,
    package: &'static str,
    script: &'static str,
    document: &'static str,
) -> Framework {
    Framework { name, package, run: Run::Python(script), document }
}

const fn node(
    name: &'static str,
    package: &'static str,
    arguments: &'static [&'static str],
    document: &'static str,
) -> Framework {
    Framework { name, package, run: Run::Node(arguments), document }
}

/// All of them.
pub(crate) const FRAMEWORKS: [Framework; 22] = [
    python("FastAPI", "fastapi", "fastapi_app.py", "/openapi.json"),
    python("Litestar", "litestar", "litestar_app.py", "/schema/openapi.json"),
    python("Django REST, drf-spectacular", "drf-spectacular", "django_rest_app.py", "/api/schema/"),
    python("Django Ninja", "django-ninja", "django_ninja_app.py", "/api/openapi.json"),
    python("APIFlask", "APIFlask", "apiflask_app.py", "/openapi.json"),
    python("flask-smorest", "flask-smorest", "flask_smorest_app.py", "/openapi.json"),
    python("Flask-RESTX", "flask-restx", "flask_restx_app.py", "/swagger.json"),
    python("flask-openapi3", "flask-openapi3", "flask_openapi3_app.py", "/openapi/openapi.json"),
    python("Sanic Extensions", "sanic-ext", "sanic_app.py", "/docs/openapi.json"),
    python("Connexion", "connexion", "connexion_app.py", "/shop/v1/openapi.json"),
    python("BlackSheep", "blacksheep", "blacksheep_app.py", "/openapi.json"),
    python("Falcon, SpecTree", "spectree", "spectree_app.py", "/apidoc/openapi.json"),
    python("Quart-Schema", "quart-schema", "quart_schema_app.py", "/openapi.json"),
    python("Robyn", "robyn", "robyn_app.py", "/openapi.json"),
    node("NestJS, @nestjs/swagger", "@nestjs/swagger", &["run.mjs", "nest_app.ts"], "/api-json"),
    node(
        "Fastify, @fastify/swagger",
        "@fastify/swagger",
        &["fastify_app.mjs"],
        "/documentation/json",
    ),
    node(
        "Fastify with `openapi`",
        "@fastify/swagger",
        &["fastify_app.mjs", "openapi"],
        "/documentation/json",
    ),
    node("Hono, @hono/zod-openapi", "@hono/zod-openapi", &["hono_app.mjs"], "/doc"),
    node("Elysia, @elysiajs/openapi", "@elysiajs/openapi", &["elysia_app.mjs"], "/openapi/json"),
    node("Express, swagger-jsdoc", "swagger-jsdoc", &["express_app.mjs"], "/api-docs.json"),
    node("hapi-swagger", "hapi-swagger", &["hapi_app.mjs"], "/swagger.json"),
    node("tsoa", "tsoa", &["tsoa_app.mjs"], "/swagger.json"),
];

/// The folder of the applications.
fn folder(language: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../frameworks").canonicalize().unwrap();
    root.join(language)
}

impl Framework {
    /// Whether its application takes a file. Robyn documents no body other than JSON.
    pub(crate) fn has_upload(&self) -> bool {
        self.name != "Robyn"
    }

    /// The version of its package that is pinned.
    pub(crate) fn version(&self) -> String {
        match self.run {
            Run::Python(_) => {
                let pins = std::fs::read_to_string(folder("python").join("requirements.txt"));
                let pins = pins.unwrap();
                let mut pins = pins.lines().filter_map(|line| line.split_once("=="));
                let (_, version) = pins.find(|(name, _)| *name == self.package).unwrap();
                version.to_owned()
            }
            Run::Node(_) => {
                let package = std::fs::read(folder("node").join("package.json")).unwrap();
                let package: Value = serde_json::from_slice(&package).unwrap();
                package["dependencies"][self.package].as_str().unwrap().to_owned()
            }
        }
    }
}

/// Where the frameworks are installed.
pub(crate) struct Installed {
    python: PathBuf,
    node: PathBuf,
}

/// The frameworks, if they are installed.
pub(crate) fn installed() -> Option<Installed> {
    let requirements = folder("python").join("requirements.txt");
    let python = peers::pypi_of("WOMBAT_TEST_FRAMEWORKS_PYTHON", &requirements)?;
    let package = folder("node").join("package.json");
    let node = peers::npm_of("WOMBAT_TEST_FRAMEWORKS_NODE", &package)?;
    Some(Installed { python, node })
}

/// A running application.
pub(crate) struct App {
    pub(crate) url: String,
    server: Program,
    /// A copy of the applications beside the packages of npm.
    _folder: Option<TempDir>,
}

impl App {
    /// Starts it, and waits until it listens.
    pub(crate) async fn start(framework: &Framework, with: &Installed) -> Self {
        let path = ("PATH", std::env::var("PATH").unwrap());
        let (mut server, copy) = match framework.run {
            Run::Python(script) => {
                let settings = [path, ("PYTHONDONTWRITEBYTECODE", "1".to_owned())];
                let python = &with.python;
                let server = Program::start_path(python, &folder("python"), &settings, &[script]);
                (server.unwrap(), None)
            }
            Run::Node(arguments) => {
                let copy = beside_packages(&with.node);
                let (node, settings) = (Path::new("node"), [path]);
                let server = Program::start_path(node, copy.path(), &settings, arguments);
                (server.unwrap(), Some(copy))
            }
        };
        let url = server.url().await.unwrap();
        Self { url, server, _folder: copy }
    }

    /// The version of its document's form, and how many operations it has.
    pub(crate) async fn document(&self, path: &str) -> (String, usize) {
        let get = async || {
            let answer = reqwest::get(format!("{}{path}", self.url)).await.ok()?;
            assert!(answer.status().is_success(), "{path}: {} {}", answer.status(), self.log());
            answer.text().await.ok()
        };
        let text = test_support::wait_for("the document", get).await;
        let Ok(document) = serde_json::from_str::<Value>(&text) else {
            // drf-spectacular writes YAML, indented by two.
            let version = text.lines().find_map(|line| line.strip_prefix("openapi: ")).unwrap();
            let methods =
                ["get", "post", "put", "patch", "delete"].map(|verb| format!("    {verb}:"));
            let operations = text.lines().filter(|line| methods.iter().any(|verb| verb == line));
            return (format!("{version}, YAML"), operations.count());
        };
        let version = document.get("openapi").or_else(|| document.get("swagger")).unwrap();
        let paths = document["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|item| item.as_object().unwrap().keys());
        let methods = ["get", "post", "put", "patch", "delete"];
        let operations = operations.filter(|key| methods.contains(&key.as_str())).count();
        (version.as_str().unwrap().to_owned(), operations)
    }

    /// What its handlers have got, in order.
    pub(crate) fn seen(&self) -> Vec<Value> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix("seen "));
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All that it has printed.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }
}

/// A copy of the applications of Node from where their packages are found. Some compile what they run.
fn beside_packages(packages: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(packages.join("node_modules"), dir.path().join("node_modules"))
        .unwrap();
    for entry in std::fs::read_dir(folder("node")).unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() {
            std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    dir
}
