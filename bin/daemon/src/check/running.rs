//! Whether a running daemon has what the files say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use daemon_api::{RoleTools, RunningTools};
use secrecy::{ExposeSecret as _, SecretString};
use service::settings::{Layers, Reader};

use super::Report;
use super::acting::DAEMON_TIMEOUT;
use crate::init::shown_names;
use crate::settings::Settings;

/// What the files give, to compare with.
pub(super) struct OnDisk {
    pub(super) workspace: String,
    pub(super) digest: String,
    pub(super) roles: Vec<RoleTools>,
}

/// How the daemon of these settings is reached.
struct Address {
    url: String,
    key: Option<SecretString>,
    /// Whether `AGENT_DAEMON_URL` names it.
    is_named: bool,
}

impl Report {
    /// Asks the daemon, where one runs, and tells what it has otherwise than the files say.
    pub(super) async fn running(&mut self, layers: &Layers, settings: &Settings, disk: &OnDisk) {
        let Some(address) = address(layers, settings) else { return };
        let shown = shown::url(&address.url).to_string();
        let theirs = match ask(&address).await {
            Ok(Some(theirs)) => theirs,
            // Where AGENT_DAEMON_URL is set it has been told already.
            Ok(None) if address.is_named => return,
            Ok(None) => {
                return self.note(format!(
                    "daemon: none is running at {shown}; the above is what it would have"
                ));
            }
            Err(why) => {
                return self.note(format!(
                    "daemon: {shown}: {why}; the above is from the files, and was not compared"
                ));
            }
        };
        let differences = differences(disk, &theirs);
        let is_another = theirs.workspace != disk.workspace;
        if is_another && theirs.workspace_digest != disk.digest {
            return self.note(format!(
                "daemon: the one at {shown} has another workspace ({}); the above is from the files, and was not compared",
                theirs.workspace
            ));
        }
        if differences.is_empty() {
            return self
                .good(format!("daemon: {shown} is running, and has the same workspace and tools"));
        }
        for what in differences {
            self.warn(format!("daemon: {shown} is running: {what}"));
        }
    }
}

/// What the running daemon has otherwise.
fn differences(disk: &OnDisk, theirs: &RunningTools) -> Vec<String> {
    let mut told = Vec::new();
    let ours = env!("CARGO_PKG_VERSION");
    if theirs.version != ours {
        told.push(format!("it is version {}, and this is {ours}; restart it", theirs.version));
    }
    if theirs.workspace_digest != disk.digest {
        told.push(
            "it does not use the files as they are now: wait a second and check again, or see its log"
                .to_owned(),
        );
    }
    let find = |roles: &[RoleTools], role: &str| -> Option<BTreeSet<String>> {
        let found = roles.iter().find(|known| known.role == role)?;
        Some(found.tools.iter().map(|tool| tool.name.clone()).collect())
    };
    let all = disk.roles.iter().chain(&theirs.roles).map(|known| known.role.as_str());
    for role in all.collect::<BTreeSet<_>>() {
        let (here, there) = (find(&disk.roles, role), find(&theirs.roles, role));
        let (here, there) = match (here, there) {
            (Some(here), Some(there)) => (here, there),
            (Some(_), None) => {
                told.push(format!("it has no role {role:?}"));
                continue;
            }
            (None, _) => {
                told.push(format!("it has a role {role:?}, which the files do not have"));
                continue;
            }
        };
        let names = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
            let names: Vec<_> = one.difference(other).map(String::as_str).collect();
            (!names.is_empty()).then(|| shown_names(&names))
        };
        if let Some(names) = names(&here, &there) {
            told.push(format!(
                "{role} does not have {names} there; restart it if its settings have changed, or see its log"
            ));
        }
        if let Some(names) = names(&there, &here) {
            told.push(format!(
                "{role} has {names} there, and not by these files and settings; restart it if its settings have changed"
            ));
        }
    }
    told
}

fn address(layers: &Layers, settings: &Settings) -> Option<Address> {
    let mut reader = Reader::new(layers);
    let named = reader.optional("AGENT_DAEMON_URL");
    let key = reader.secret("AGENT_DAEMON_API_KEY");
    let host = match settings.host {
        IpAddr::V4(host) if host.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(host) if host.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    };
    // A free port is chosen at start: nobody knows which.
    let port = (settings.port != 0).then_some(settings.port);
    let is_named = named.is_some();
    let url = named.or_else(|| port.map(|port| format!("http://{host}:{port}")))?;
    Some(Address { url: url.trim_end_matches('/').to_owned(), key, is_named })
}

/// `None` where nothing answers.
async fn ask(address: &Address) -> Result<Option<RunningTools>, String> {
    let http = service::http::client_builder().timeout(DAEMON_TIMEOUT).build();
    let http = http.map_err(|error| service::http::explain(&error))?;
    let request = http.get(format!("{}/tools", address.url));
    let request = match &address.key {
        Some(key) => request.header("X-Agent-Daemon-Key", key.expose_secret()),
        None => request,
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Ok(None),
        Err(error) => return Err(service::http::explain(&error)),
    };
    let status = answer.status().as_u16();
    match status {
        200 => {}
        401 | 403 => return Err(format!("it refuses AGENT_DAEMON_API_KEY ({status})")),
        404 => return Err("it is no daemon of this version (404 for GET /tools)".to_owned()),
        _ => {
            let body: Option<daemon_api::ErrorBody> = answer.json().await.ok();
            let said = body.map_or_else(|| "no reason".to_owned(), |body| body.error);
            return Err(format!("it answers {status}: {said}"));
        }
    }
    let theirs: RunningTools =
        answer.json().await.map_err(|_| "its answer is no list of tools".to_owned())?;
    Ok(Some(theirs))
}
