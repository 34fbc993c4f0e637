//! Whether an agent can act in the application as one of its users, and whether the application finds the
//! daemon.

use std::time::Duration;

use http::Method;
use mc_client::client::AgentClient;
use mc_client::raw::{RawRequest, RawResponse};
use service::settings::{Layers, Reader};
use wombat_core::session::{Role, UserId};
use wombat_core::workspace::{RoleError, Snapshot};

use super::Report;
use crate::backend::Backend;
use crate::init::{local_port, shown_names};
use crate::settings::Settings;

/// The timeout of asking the daemon.
pub(super) const DAEMON_TIMEOUT: Duration = Duration::from_secs(3);

/// The most of an answer that is read.
const MAX_BYTES: usize = 16 * 1024;

/// As whom `check` tries the application.
#[derive(Debug)]
pub struct TriedAs {
    user: UserId,
    role: Option<Role>,
}

impl TriedAs {
    /// A user, and a role that is the workspace's first when absent.
    ///
    /// # Errors
    /// When one of the two is not valid.
    pub fn parse(user: &str, role: Option<&str>) -> Result<Self, String> {
        let user = UserId::parse(user).map_err(|error| format!("--user: {error}"))?;
        let role = role.map(Role::parse).transpose().map_err(|error| format!("--role: {error}"))?;
        Ok(Self { user, role })
    }
}

/// What to say of a role that the workspace does not have: the nearest, and those that it has. `None`, too,
/// where the workspace cannot tell.
pub fn unknown_role(snapshot: &Snapshot, role: &str) -> Option<String> {
    let RoleError::Unknown(unknown) = snapshot.admit(role).err()? else { return None };
    let told = unknown.to_string();
    if unknown.nearest.is_none() {
        return Some(told);
    }
    let known: Vec<&str> = unknown.known.iter().map(String::as_str).collect();
    Some(format!("{told} Its roles are {}", shown_names(&known)))
}

impl Report {
    /// Whether the workspace lacks the role that is tried: no run of it can start.
    pub(super) fn lacks_role(&mut self, tried: Option<&TriedAs>, snapshot: &Snapshot) -> bool {
        let role = tried.and_then(|tried| tried.role.as_ref());
        let told = role.and_then(|role| unknown_role(snapshot, role.as_str()));
        let lacks = told.is_some();
        told.into_iter().for_each(|told| self.fail(format!("application: --role: {told}")));
        lacks
    }

    /// Calls an endpoint that needs no arguments as the user, and without a token: only where these two
    /// answers differ does one know that the token counts.
    pub(super) async fn acting(
        &mut self,
        tried: Option<&TriedAs>,
        snapshot: &Snapshot,
        backend: &Backend,
    ) {
        let Some(TriedAs { user, role }) = tried else {
            if backend.is_split() {
                self.note("application: whether it accepts the agent's token was not checked: wombat-daemon check --user ID");
            }
            return;
        };
        let first = snapshot.agents().into_iter().next().map(|agent| agent.role);
        let role = role.clone().or(first);
        let role = role.as_ref().map_or("agent", |role| role.as_str());
        let path = endpoint(snapshot);
        let who = format!("application: GET {path} as user {:?}, role {role:?}", user.as_str());
        let agent = match backend.agent(user.as_str(), role) {
            Ok(agent) => agent,
            Err(error) => return self.fail(format!("{who}: {error}")),
        };
        let with = match get(&agent, &path).await {
            Ok(answer) => answer,
            Err(why) => return self.fail(format!("{who}: {why}")),
        };
        let (status, said) = (with.status, words(&with));
        let is_page = shown::is_page(media_type(&with), &with.body);
        match status {
            401 | 403 => self.refused(format!(
                "{who}: {status}: {said}; accept X-Agent-Token there, with the same AGENT_JWT_SECRET, and restart the application; HTTPBearer() of FastAPI refuses first, HTTPBearer(auto_error=False) does not; set AGENT_JWT_BEARER=true where it reads Authorization only (docs/BESIDE.md); or this user does not exist: --user takes the id that the application knows, and user_id is a string, which may have to become a number"
            )),
            404 => self.warn(format!(
                "{who}: 404: {said}; there is no such endpoint, or this user does not exist; whether it accepts the token stays unknown"
            )),
            500.. => self.refused(format!(
                "{who}: {status}: {said}; look at the application's log: often AGENT_JWT_SECRET of .env is not in its environment (load_dotenv(), uvicorn --env-file .env, node --env-file=.env), or it has no such user"
            )),
            200..=299 if !is_page => match get(&agent.without_token(), &path).await {
                Ok(without) if (200..300).contains(&without.status) => self.warn(format!(
                    "{who}: {status}, but {} without a token, too: that says nothing; declare an endpoint in a skill that answers a user only", without.status
                )),
                Ok(without) => self.good(format!("{who}: {status}, and {} without a token", without.status)),
                Err(why) => self.warn(format!("{who}: {status}, and without a token: {why}")),
            },
            _ => self.warn(format!(
                "{who}: {status}: {said}; whether it accepts the token stays unknown"
            )),
        }
    }

    /// The daemon's address in the settings that the application shares, and the port it listens on.
    pub(super) async fn daemon_url(&mut self, layers: &Layers, settings: &Settings) {
        let mut reader = Reader::new(layers);
        let Some(url) = reader.optional("AGENT_DAEMON_URL") else { return };
        let (shown, port) = (shown::url(&url), settings.port);
        if let Some(theirs) = local_port(&url).filter(|theirs| *theirs != port) {
            return self.warn(format!(
                "AGENT_DAEMON_URL is {shown}, and the daemon here listens on port {port}: set WOMBAT_PORT={theirs}, or correct AGENT_DAEMON_URL"
            ));
        }
        let Ok(http) = service::http::client_builder().timeout(DAEMON_TIMEOUT).build() else {
            return;
        };
        let asked = http.get(format!("{}/livez", url.trim_end_matches('/'))).send().await;
        let why = match asked {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => {
                format!("answers {} to GET /livez; is it a daemon's?", answer.status().as_u16())
            }
            Err(error) => {
                format!("{}; start wombat-daemon, or correct it", service::http::explain(&error))
            }
        };
        self.warn(format!("AGENT_DAEMON_URL: {shown}: {why}"));
    }
}

/// A declared endpoint that needs no arguments.
fn endpoint(snapshot: &Snapshot) -> String {
    let texts = snapshot.endpoints().iter().map(|declared| declared.pattern.to_string());
    let mut paths = texts.filter_map(|text| Some(text.strip_prefix("GET ")?.to_owned()));
    let is_whole = |path: &String| {
        !path.starts_with("/api/mission-control") && !path.contains(['{', '<', ':', '*', '?', '#'])
    };
    paths.find(is_whole).unwrap_or_else(|| "/".to_owned())
}

async fn get(agent: &AgentClient, path: &str) -> Result<RawResponse, String> {
    let request = RawRequest {
        method: Method::GET,
        path_and_query: path.to_owned(),
        body: None,
        idempotency_key: None,
        max_bytes: MAX_BYTES,
    };
    let deadline = tokio::time::Instant::now() + super::BACKEND_TIMEOUT;
    agent.clone().with_deadline(deadline).raw(request).await.map_err(|error| error.to_string())
}

fn media_type(answer: &RawResponse) -> Option<&str> {
    answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// What the answer says, in one line.
fn words(answer: &RawResponse) -> String {
    shown::page(media_type(answer), &answer.body)
}
