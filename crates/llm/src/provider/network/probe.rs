//! What a server tells of a key and a model without generating anything: its list of models, and what
//! local servers publish about the loaded model. This costs nothing at any provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Network;
use super::opening::headers;
use crate::error::LlmErrorKind;
use crate::model::{ModelRef, Provider};
use crate::provider::failure::Failure;
use crate::provider::target::Target;
use crate::server::{ServerFinding, ServerFindingKind as Kind};

/// The timeout of one question.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The most that is read of an answer, bytes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// The longest list of models in which a missing name is told: longer ones belong to services, which
/// have names that they do not list.
const MAX_LISTED: usize = 20;
/// The most names that are shown.
const MAX_SHOWN: usize = 5;
/// The most characters of a name that are shown.
const MAX_NAME: usize = 80;

/// What a server answered.
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Told {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Whether the server is llama.cpp, which names itself in each response
/// (`tools/server/server-http.cpp`).
pub(super) fn is_llama_cpp(headers: &HeaderMap) -> bool {
    headers.get("server").is_some_and(|server| server == "llama.cpp")
}

/// How long it is known whether a server shows tools to a model: it may be started with another one.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// The most models that are remembered: callers may name any.
const MAX_MODELS: usize = 1_000;

/// The models that see none of the tools that they are sent, as far as servers of llama.cpp have told.
#[derive(Debug, Default)]
pub(super) struct UnseenTools(Mutex<HashMap<ModelRef, (Instant, Option<String>)>>);

impl UnseenTools {
    fn models(&self) -> MutexGuard<'_, HashMap<ModelRef, (Instant, Option<String>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a model sees no tools.
    pub(super) fn of(&self, model: &ModelRef) -> Option<String> {
        self.models().get(model)?.1.clone()
    }

    /// Whether to ask about a model now; the next one is told no.
    fn is_due(&self, model: &ModelRef) -> bool {
        let mut models = self.models();
        let now = Instant::now();
        let is_full = models.len() >= MAX_MODELS;
        match models.get_mut(model) {
            Some((asked, _)) if now.duration_since(*asked) < KNOWN_FOR => false,
            Some((asked, _)) => {
                *asked = now;
                true
            }
            None if is_full => false,
            None => {
                models.insert(model.clone(), (now, None));
                true
            }
        }
    }

    /// Keeps what was learned, and logs it when it is new.
    fn keep(&self, model: &ModelRef, why: Option<String>) {
        let mut models = self.models();
        let Some((_, known)) = models.get_mut(model) else { return };
        if let Some(why) = why.as_ref().filter(|_| known.is_none()) {
            tracing::warn!(
                provider = model.provider.as_str(),
                model = model.name,
                "tools were sent, but {why}"
            );
        }
        *known = why;
    }
}

/// After an answer to a request with tools: where the server is llama.cpp, asks it, beside the run,
/// whether the model sees them.
pub(super) fn look(
    unseen: &Arc<UnseenTools>,
    http: &reqwest::Client,
    target: &Target,
    model: &ModelRef,
    response: &HeaderMap,
) {
    if !is_llama_cpp(response) || !unseen.is_due(model) {
        return;
    }
    let (unseen, http) = (unseen.clone(), http.clone());
    let (target, model) = (target.clone(), model.clone());
    let _detached = tokio::spawn(async move {
        if let Ok(props) = llama_cpp_props(&http, &target, &model).await {
            unseen.keep(&model, unseen_by(&props).map(str::to_owned));
        }
    });
}

/// Findings about one model.
struct Findings<'a> {
    target: &'a Target,
    model: &'a ModelRef,
    found: Vec<ServerFinding>,
}

impl Findings<'_> {
    fn push(&mut self, kind: Kind, text: String) {
        self.found.push(ServerFinding { model: self.model.clone(), kind, text });
    }

    /// What an error means for the calls to come.
    fn error(&mut self, told: &Told) {
        let provider = self.model.provider;
        let failure = Failure::of_response(provider, told.status, &told.headers, &told.body);
        let failure = self.target.scrub(failure);
        let (server, status) = (self.target.shown(), told.status.as_u16());
        let said = match failure.said() {
            "" => format!("HTTP {status}"),
            said => format!("HTTP {status}: {}", said.trim_end_matches('.')),
        };
        let Some(key) = provider.key_variable() else {
            let text = format!(
                "{server} answers {said}; no key is sent to {provider}: if it requires one, use it as \
                 openai, with OPENAI_BASE_URL and OPENAI_API_KEY"
            );
            return self.push(Kind::Refused, text);
        };
        let is_restricted = failure.says("permission") || failure.says("scope");
        match failure.kind {
            LlmErrorKind::Auth { .. } if !self.target.has_key() => {
                self.push(Kind::KeyRefused, format!("{server} requires a key ({said}); set {key}"));
            }
            LlmErrorKind::Auth { .. } if status != 403 && !is_restricted => {
                let text = format!(
                    "{server} refuses the key ({said}); {key} may be wrong, or of another server: correct it"
                );
                self.push(Kind::KeyRefused, text);
            }
            _ if told.status == StatusCode::SERVICE_UNAVAILABLE => {
                self.push(Kind::Unavailable, format!("{server} is not ready ({said})"));
            }
            // LiteLLM's proxy without a database answers so where no key is sent.
            LlmErrorKind::Unavailable if !self.target.has_key() => {
                let text = format!("{server} answers {said}; if it requires a key, set {key}");
                self.push(Kind::Unavailable, text);
            }
            LlmErrorKind::Unavailable => {
                self.push(Kind::Unavailable, format!("{server} answers {said}"));
            }
            _ => {
                let text = format!("{server} answers {said}; {key} may be wrong, or lack a right");
                self.push(Kind::Refused, text);
            }
        }
    }

    /// The model is not among those that a server of its own has.
    fn listed(&mut self, list: &Value) {
        let names: Vec<&str> = list["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|m| m["id"].as_str())
            .collect();
        let wanted = &self.model.name;
        // `*` of LiteLLM stands for any name, `:latest` of Ollama for none.
        let is_wanted = |name: &&str| {
            name == wanted || name.contains('*') || name.strip_suffix(":latest") == Some(wanted)
        };
        if names.is_empty() || names.len() > MAX_LISTED || names.iter().any(is_wanted) {
            return;
        }
        let more = if names.len() > MAX_SHOWN { ", …" } else { "" };
        let cut = |name: &&str| name.chars().take(MAX_NAME).collect::<String>();
        let shown = names.iter().take(MAX_SHOWN).map(cut).collect::<Vec<_>>().join(", ");
        let server = self.target.shown();
        let text = format!("{server} does not list this model; it has {shown}{more}");
        self.push(Kind::ModelUnknown, text);
    }
}

impl Network {
    /// Asks the server of a model about it. Empty for a provider that has none, or not the key that it
    /// needs.
    pub(crate) async fn ask_server(&self, model: &ModelRef) -> Vec<ServerFinding> {
        let Some(target) = self.targets.get(&model.provider) else { return Vec::new() };
        if target.missing_key().is_some() {
            return Vec::new();
        }
        let mut found = Findings { target, model, found: Vec::new() };
        let told = match question(
            self.http.library(),
            target,
            Method::GET,
            target.models_url(model),
            None,
        )
        .await
        {
            Ok(told) => told,
            Err(why) => {
                let start = if target.is_own_server() { "" } else { "; start it, or correct " };
                let variable = if target.is_own_server() { "" } else { target.url_variable() };
                let text = format!("{} was not reached: {why}{start}{variable}", target.shown());
                found.push(Kind::Unavailable, text);
                return found.found;
            }
        };
        match told.status {
            status if status.is_success() => {
                if !target.is_own_server() {
                    self.ask_local(&mut found, &told).await;
                }
            }
            StatusCode::NOT_FOUND if target.is_own_server() => {
                let text = format!("{} does not know this model; correct its name", target.shown());
                found.push(Kind::ModelUnknown, text);
            }
            // A server may have no list.
            StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED => {
                if !target.is_own_server() {
                    self.ask_local(&mut found, &told).await;
                }
                return found.found;
            }
            _ => found.error(&told),
        }
        if found.found.is_empty() {
            found.push(Kind::Answers, format!("{} answers", target.shown()));
        }
        found.found
    }

    /// Asks several models' servers at once.
    pub(crate) async fn ask_servers(&self, models: &[ModelRef]) -> Vec<ServerFinding> {
        join_all(models.iter().map(|model| self.ask_server(model))).await.concat()
    }

    /// What a server of one's own tells about a model.
    async fn ask_local(&self, found: &mut Findings<'_>, told: &Told) {
        let list = told.json();
        let owned_by = list["data"][0]["owned_by"].as_str().unwrap_or_default();
        let is_named = is_llama_cpp(&told.headers) || owned_by == "llamacpp";
        // With one model, llama.cpp takes any name for it.
        let is_one = list["data"].as_array().is_some_and(|models| models.len() == 1);
        if !(is_named && is_one) {
            found.listed(&list);
        }
        // The owners that Ollama and LM Studio tell (openai/openai.go; lmstudio.ai/docs/developer).
        if !is_named && (found.model.provider == Provider::Ollama || owned_by == "library") {
            self.ask_ollama(found).await;
        } else if owned_by == "organization_owner" {
            self.ask_lm_studio(found).await;
        } else {
            self.ask_llama_cpp(found, is_named).await;
        }
    }

    /// llama.cpp leaves tools out, without a word, if the model's chat template has no place for them.
    /// A proxy before it may have taken its name away: then only what nobody else says counts.
    async fn ask_llama_cpp(&self, found: &mut Findings<'_>, is_named: bool) {
        match llama_cpp_props(self.http.library(), found.target, found.model).await {
            Ok(props) => {
                if let Some(why) = unseen_by(&props) {
                    found.push(Kind::ToolsUnseen, why.to_owned());
                }
            }
            // Its list of models is public, and this is not.
            Err(Some(told)) if is_named => {
                if matches!(told.status, StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE)
                {
                    found.error(&told);
                }
            }
            Err(_) => {}
        }
    }

    /// Ollama refuses tools for a model without the capability (docs.ollama.com/api, `/api/show`).
    async fn ask_ollama(&self, found: &mut Findings<'_>) {
        let (url, body) = (found.target.root("api/show"), json!({ "model": found.model.name }));
        let asked =
            question(self.http.library(), found.target, Method::POST, url, Some(body)).await;
        let Ok(told) = asked else { return };
        if told.status == StatusCode::NOT_FOUND && found.found.is_empty() {
            let text = format!("Ollama does not have this model: ollama pull {}", found.model.name);
            return found.push(Kind::ModelUnknown, text);
        }
        let told = told.json();
        let Some(capabilities) = told["capabilities"].as_array() else { return };
        if !capabilities.iter().any(|capability| capability == "tools") {
            let text = "Ollama says that this model takes no tools (ollama show), and refuses \
                        requests with some; choose a model with the capability tools, or roles \
                        without tools";
            found.push(Kind::ToolsUnseen, text.to_owned());
        }
    }

    /// LM Studio gives tools in a form of its own to a model that was not trained for them
    /// (lmstudio.ai/docs/developer/openai-compat/tools, "Default tool use support").
    async fn ask_lm_studio(&self, found: &mut Findings<'_>) {
        let url = found.target.root(&format!("api/v0/models/{}", found.model.name));
        let Ok(told) = question(self.http.library(), found.target, Method::GET, url, None).await
        else {
            return;
        };
        let told = told.json();
        let Some(capabilities) = told["capabilities"].as_array() else { return };
        if !capabilities.iter().any(|capability| capability == "tool_use") {
            let text = "LM Studio says that this model was not trained to use tools, and describes \
                        them in a form of its own, which it may ignore; choose a model marked with \
                        a hammer";
            found.push(Kind::ToolsUnseen, text.to_owned());
        }
    }
}

/// What llama.cpp publishes about a model; else its refusal, if it answered.
async fn llama_cpp_props(
    http: &reqwest::Client,
    target: &Target,
    model: &ModelRef,
) -> Result<Value, Option<Told>> {
    let mut url = target.root("props");
    let ask = async |url| question(http, target, Method::GET, url, None).await.map_err(|_| None);
    let told = ask(url.clone()).await?;
    if !told.status.is_success() {
        return Err(Some(told));
    }
    let props = told.json();
    if props.get("chat_template_caps").is_some() {
        return Ok(props);
    }
    // A server of several models tells this of the one that is asked for:
    // https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    url.query_pairs_mut().append_pair("model", &model.name).append_pair("autoload", "false");
    let told = ask(url).await?;
    Ok(if told.status.is_success() { told.json() } else { props })
}

/// Asks one question, with the headers of a call.
async fn question(
    http: &reqwest::Client,
    target: &Target,
    method: Method,
    url: reqwest::Url,
    body: Option<Value>,
) -> Result<Told, String> {
    let asking = async {
        let mut request = http.request(method, url).headers(headers(target, None, false));
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let failed = |error: reqwest::Error| Failure::of_reqwest(&error).cause;
        let mut response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err("the answer exceeds the size limit".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Told { status, headers, body })
    };
    let limit = || Err(format!("no answer within {} seconds", TIMEOUT.as_secs()));
    timeout(TIMEOUT, asking).await.unwrap_or_else(|_| limit())
}

/// Why the model sees no tools, by the capabilities of its chat template.
fn unseen_by(props: &Value) -> Option<&'static str> {
    let takes = props.pointer("/chat_template_caps/supports_tools").and_then(Value::as_bool);
    (takes == Some(false)).then_some(
        "this model will never see its tools: its chat template has no place for them, and llama.cpp \
         leaves them out without a word; load a model whose template has one, or give the server one \
         (--jinja --chat-template-file)",
    )
}
