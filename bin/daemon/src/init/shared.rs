//! The settings that an application and the programs beside it share: lines for its `.env`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use secrecy::{ExposeSecret as _, SecretString};
use service::settings::{Layers, Reader};
use url::Url;
use uuid::Uuid;

/// What makes a model known.
const MODELS: [&str; 10] = [
    "LLM_PROVIDER",
    "LLM_MODEL_DEFAULT",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "XAI_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "OPENROUTER_API_KEY",
];

/// The lines that are missing.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// `(name, line)`.
    pub(super) lines: Vec<(&'static str, String)>,
    /// Whether a model is set.
    pub(super) has_model: bool,
    /// Where the control plane's tables will be.
    pub(super) tables: &'static str,
}

/// Which settings are missing.
///
/// # Errors
/// When one that is set contradicts the command.
pub(super) fn missing(
    layers: &Layers,
    application: &Url,
    workspace: &Path,
    document: Option<&str>,
) -> Result<Shared, String> {
    let mut reader = Reader::new(layers);
    let mut shared = Shared::default();
    let url = application.as_str().trim_end_matches('/').to_owned();
    if let Some(set) = reader.optional("BACKEND_URL").filter(|set| set.trim_end_matches('/') != url)
    {
        return Err(format!(
            "BACKEND_URL is {} already; correct it, or --beside",
            shown::url(&set)
        ));
    }
    let taken = application.port_or_known_default();
    let free = |ports: [u16; 2]| if taken == Some(ports[0]) { ports[1] } else { ports[0] };
    let (daemon, plane) = (free([8081, 8083]), free([8082, 8084]));
    let mut port = |name, url, usual: u16| {
        let set = reader.optional(name);
        let set = set.or_else(|| local_port(&reader.optional(url)?).map(|port| port.to_string()));
        set.unwrap_or_else(|| usual.to_string())
    };
    let daemon = port("WOMBAT_PORT", "AGENT_DAEMON_URL", daemon);
    let plane = port("MC_PORT", "WOMBAT_CONTROL_PLANE_URL", plane);
    let own = reader.secret("MC_DATABASE_URL");
    let theirs = reader.secret("DATABASE_URL");
    let (database, is_theirs) = match (own, theirs) {
        (Some(own), _) => (Some(own), false),
        (None, theirs) => (theirs, true),
    };
    let text = |path: &Path| path.display().to_string();
    let mut wanted = vec![
        ("BACKEND_URL", url),
        ("WOMBAT_CONTROL_PLANE_URL", format!("http://127.0.0.1:{plane}")),
        ("AGENT_DAEMON_URL", format!("http://127.0.0.1:{daemon}")),
        ("MC_PORT", plane),
    ];
    if daemon != "8081" {
        wanted.push(("WOMBAT_PORT", daemon));
    }
    if workspace != Path::new("workspace") {
        wanted.push(("WOMBAT_WORKSPACE", text(workspace)));
    }
    wanted.extend(document.map(|path| ("WOMBAT_BACKEND_OPENAPI", path.to_owned())));
    wanted.push(("WOMBAT_DEFAULT_TASK", "Assistant".to_owned()));
    shared.tables = match database {
        Some(database) if is_postgres(&database) => {
            wanted.push(("MC_SCHEMA", "wombat".to_owned()));
            "schema wombat of the application's database"
        }
        // Never into a file of the application, nor on a server that is none of ours.
        Some(_) if is_theirs => {
            wanted.push(("MC_DATABASE_URL", "sqlite:data/wombat.db".to_owned()));
            "data/wombat.db (SQLite)"
        }
        Some(_) => "where MC_DATABASE_URL says",
        None => {
            "data/mission-control.db (SQLite); for your PostgreSQL set DATABASE_URL and MC_SCHEMA=wombat"
        }
    };
    // Who signs with a private key shares no secret.
    let secrets = ["AGENT_JWT_SECRET", "INTERNAL_API_TOKEN", "AGENT_DAEMON_API_KEY"];
    let is_needed = |name: &&str| *name != secrets[0] || !layers.is_set("AGENT_JWT_PRIVATE_KEY");
    wanted.extend(secrets.into_iter().filter(is_needed).map(|name| (name, secret())));
    for (name, value) in wanted.into_iter().filter(|(name, _)| !layers.is_set(name)) {
        let line = line(name, &value).ok_or_else(|| {
            format!("{name}: {value:?} cannot be written to .env so that every reader takes it for the same; set it yourself")
        })?;
        shared.lines.push((name, line));
    }
    shared.has_model = MODELS.iter().any(|name| layers.is_set(name));
    Ok(shared)
}

/// The line of a setting, if all readers of such files take it for the same.
fn line(name: &str, value: &str) -> Option<String> {
    let is_plain = !value.contains(|c: char| c.is_whitespace() || "#'\"$\\`".contains(c));
    let quote = match value {
        _ if value.contains(['\n', '\r']) => return None,
        _ if is_plain => "",
        _ if !value.contains(['\'', '\\']) => "'",
        _ if !value.contains(['"', '$', '\\', '`']) => "\"",
        _ => return None,
    };
    Some(format!("{name}={quote}{value}{quote}"))
}

/// The port of an address on this machine.
pub(crate) fn local_port(url: &str) -> Option<u16> {
    let url = Url::parse(url).ok()?;
    let is_local = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback() || address.is_unspecified(),
        url::Host::Ipv6(address) => address.is_loopback() || address.is_unspecified(),
    };
    url.port_or_known_default().filter(|_| is_local)
}

fn is_postgres(url: &SecretString) -> bool {
    let url = url.expose_secret().trim();
    url.starts_with("postgres") || url.starts_with("postgis")
}

/// 32 random bytes: 244 random bits, as version 4 UUIDs have six fixed ones.
fn secret() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

/// What was written besides the lines of `.env`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Appended {
    /// Whether `.gitignore` got a line.
    pub(super) is_ignored_now: bool,
    /// What a person has to know of a `.env` that was there.
    pub(super) warnings: Vec<String>,
}

/// Appends the lines. A new file is for its owner only; the file is kept out of Git.
///
/// # Errors
/// When one of the files cannot be written.
pub(super) fn append(dir: &Path, shared: &Shared) -> std::io::Result<Appended> {
    if shared.lines.is_empty() {
        return Ok(Appended::default());
    }
    let file = dir.join(".env");
    let before = match fs::read(&file) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut text = match &before {
        Some(before) if !before.is_empty() && !before.ends_with(b"\n") => "\n\n".to_owned(),
        Some(before) if !before.is_empty() => "\n".to_owned(),
        Some(_) | None => String::new(),
    };
    text.push_str("# The agent: shared by this application and Wombat's programs\n");
    for (_, line) in &shared.lines {
        text.push_str(line);
        text.push('\n');
    }
    let opened = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&file);
    opened?.write_all(text.as_bytes())?;
    let is_ignored = git_says(dir, &["check-ignore", "--quiet", ".env"]);
    let is_ignored_now = !is_ignored && ignored_by_git(&dir.join(".gitignore"))?;
    let warnings = if before.is_some() { warnings(dir, &file)? } else { Vec::new() };
    Ok(Appended { is_ignored_now, warnings })
}

/// What a person has to know of an application's own file, which holds our secrets now.
fn warnings(dir: &Path, file: &Path) -> std::io::Result<Vec<String>> {
    let mut told = Vec::new();
    if is_python(dir) {
        told.push("  If the application refuses names that it does not know (pydantic-settings), let it ignore them: extra=\"ignore\"".to_owned());
    }
    let mode = fs::metadata(file)?.permissions().mode();
    if mode & 0o077 != 0 {
        told.push(
            "  It holds secrets, and other users of this machine can read it: chmod 600 .env"
                .to_owned(),
        );
    }
    if git_says(dir, &["ls-files", "--error-unmatch", ".env"]) {
        told.push(
            "  It holds secrets, and Git tracks it: git rm --cached .env, before you commit"
                .to_owned(),
        );
    }
    Ok(told)
}

/// Whether a program in Python is in a folder.
fn is_python(dir: &Path) -> bool {
    const FILES: [&str; 5] =
        ["pyproject.toml", "requirements.txt", "setup.py", "setup.cfg", "Pipfile"];
    let is_script =
        |entry: fs::DirEntry| Path::new(&entry.file_name()).extension() == Some("py".as_ref());
    FILES.iter().any(|name| dir.join(name).is_file())
        || fs::read_dir(dir).is_ok_and(|entries| entries.flatten().any(is_script))
}

/// Whether Git is there and says yes.
fn git_says(dir: &Path, question: &[&str]) -> bool {
    let mut git = Command::new("git");
    git.args(question).current_dir(dir);
    git.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}

/// Adds `.env` to a `.gitignore` that lacks it, and says whether it did.
fn ignored_by_git(file: &Path) -> std::io::Result<bool> {
    let before = match fs::read_to_string(file) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    if before.lines().any(|line| [".env", "/.env", ".env*", "*.env"].contains(&line.trim())) {
        return Ok(false);
    }
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let mut opened = fs::OpenOptions::new().create(true).append(true).open(file)?;
    opened.write_all(format!("{end}.env\n").as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(&str, &str)], url: &str) -> Vec<(&'static str, String)> {
        let layers = Layers::from_pairs(pairs.iter().copied());
        let url = Url::parse(url).unwrap();
        missing(&layers, &url, Path::new("workspace"), Some("/openapi.json")).unwrap().lines
    }

    fn value(lines: &[(&'static str, String)], name: &str) -> Option<String> {
        let line = &lines.iter().find(|(known, _)| *known == name)?.1;
        Some(line.strip_prefix(&format!("{name}=")).unwrap().to_owned())
    }

    #[test]
    fn what_is_set_stays_and_what_is_missing_fits_the_application() {
        let postgres = ("DATABASE_URL", "postgresql+psycopg://u:p@h/d");
        let secret = ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let lines = names(&[postgres, secret], "http://127.0.0.1:8082/");
        assert_eq!(value(&lines, "BACKEND_URL").unwrap(), "http://127.0.0.1:8082");
        assert_eq!(value(&lines, "MC_PORT").unwrap(), "8084");
        assert_eq!(value(&lines, "WOMBAT_CONTROL_PLANE_URL").unwrap(), "http://127.0.0.1:8084");
        assert_eq!(value(&lines, "MC_SCHEMA").unwrap(), "wombat");
        assert_eq!(value(&lines, "AGENT_JWT_SECRET"), None);
        assert_eq!(value(&lines, "MC_DATABASE_URL"), None);
        assert!(value(&lines, "AGENT_DAEMON_API_KEY").unwrap().len() == 64);
    }

    #[test]
    fn our_tables_never_go_into_an_applications_file_or_another_kind_of_server() {
        for theirs in ["sqlite:///./app.db", "mysql://u:p@h/d"] {
            let lines = names(&[("DATABASE_URL", theirs)], "http://127.0.0.1:3000");
            assert_eq!(value(&lines, "MC_DATABASE_URL").unwrap(), "sqlite:data/wombat.db");
            assert_eq!(value(&lines, "MC_SCHEMA"), None);
        }
        let lines = names(&[], "http://127.0.0.1:8081");
        assert_eq!(value(&lines, "MC_DATABASE_URL").or(value(&lines, "MC_SCHEMA")), None);
        assert_eq!(value(&lines, "WOMBAT_PORT").unwrap(), "8083");
        // A port that one of the addresses names is that of the program there.
        let set = [("AGENT_DAEMON_URL", "http://localhost:9001")];
        assert_eq!(value(&names(&set, "http://127.0.0.1:1"), "WOMBAT_PORT").unwrap(), "9001");
        let other = [("AGENT_DAEMON_URL", "http://agents.example:9001")];
        assert_eq!(value(&names(&other, "http://127.0.0.1:1"), "WOMBAT_PORT"), None);
        let signed = [("AGENT_JWT_ALGORITHM", "RS256"), ("AGENT_JWT_PRIVATE_KEY", "key.pem")];
        assert_eq!(value(&names(&signed, "http://127.0.0.1:1"), "AGENT_JWT_SECRET"), None);
    }

    #[test]
    fn a_value_is_written_so_that_every_reader_takes_it_for_the_same() {
        for (value, written) in [
            ("plain", Some("N=plain")),
            ("my agents", Some("N='my agents'")),
            ("a$b", Some("N='a$b'")),
            ("it's", Some("N=\"it's\"")),
            ("it's $b", None),
            ("a\\b", None),
            ("a\nb", None),
        ] {
            assert_eq!(line("N", value).as_deref(), written);
        }
    }

    #[test]
    fn another_backend_is_not_silently_replaced() {
        let layers = Layers::from_pairs([("BACKEND_URL", "http://other:8000")]);
        let url = Url::parse("http://127.0.0.1:3000").unwrap();
        let problem = missing(&layers, &url, Path::new("workspace"), None).unwrap_err();
        assert!(problem.contains("BACKEND_URL is http://other:8000"), "{problem}");
    }

    #[test]
    fn a_new_file_is_for_its_owner_and_ignored_by_git_and_an_old_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let shared = Shared {
            lines: vec![("WOMBAT_WORKSPACE", "WOMBAT_WORKSPACE='my agents'".to_owned())],
            ..Shared::default()
        };
        let made = append(dir.path(), &shared).unwrap();
        assert_eq!(made, Appended { is_ignored_now: true, warnings: Vec::new() });
        let mode = fs::metadata(dir.path().join(".env")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_to_string(dir.path().join(".gitignore")).unwrap(), ".env\n");
        fs::write(dir.path().join(".env"), "SECRET_KEY=x").unwrap();
        fs::write(dir.path().join(".gitignore"), "*.pyc").unwrap();
        fs::set_permissions(dir.path().join(".env"), fs::Permissions::from_mode(0o644)).unwrap();
        let Appended { warnings: told, is_ignored_now } = append(dir.path(), &shared).unwrap();
        assert!(is_ignored_now && told.len() == 1 && told[0].contains("chmod 600"), "{told:?}");
        // Only a program in Python can have pydantic.
        fs::write(dir.path().join("main.py"), "").unwrap();
        let Appended { warnings: told, is_ignored_now } = append(dir.path(), &shared).unwrap();
        assert!(!is_ignored_now && told[0].contains("extra="), "{told:?}");
        let text = fs::read_to_string(dir.path().join(".env")).unwrap();
        assert!(
            text.starts_with("SECRET_KEY=x\n\n# ")
                && text.ends_with("WOMBAT_WORKSPACE='my agents'\n"),
            "{text}"
        );
        assert_eq!(fs::read_to_string(dir.path().join(".gitignore")).unwrap(), "*.pyc\n.env\n");
        let git = |arguments: &[&str]| assert!(git_says(dir.path(), arguments), "{arguments:?}");
        git(&["init", "--quiet"]);
        git(&["add", "--force", ".env"]);
        assert!(append(dir.path(), &shared).unwrap().warnings[2].contains("Git tracks it"));
    }
}
