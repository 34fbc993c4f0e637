//! The daemon's settings, read and validated once (docs/CONFIGURATION.md).

mod ask;
mod background;
mod customers;
mod files;
mod memory;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use llm::model::{ModelRef, Provider};
use llm::{Endpoint, LlmSettings, OpenAiApi, RetrySettings};
use mc_client::client::RetryPolicy;
use mc_client::journal_mac::JournalKeys;
use mc_client::token::{Key, MIN_SECRET_BYTES, TokenMinter};
use secrecy::{ExposeSecret as _, SecretString};
use service::agent_token;
use service::backend_address::BackendAddress;
use service::forwarded::Front;
use service::otel::OtelSettings;
use service::settings::{Effective, Layers, Reader, SettingsError, Variables};
use service::telemetry::LogFormat;
use wombat_core::redact::RedactKey;
use wombat_core::untrusted::FenceKey;
use wombat_core::workspace::{EnvLookup, SkillsMode};
use zones::Zone;
use zones::parse_zone;

use crate::protocols::Protocols;
use crate::run::lineage::AskLimits;
use crate::sessions::SessionPolicy;
use crate::tools::OpenApiPlace;

pub use background::Background;
pub use customers::Customers;
pub(crate) use customers::workspaces as read_workspaces;
pub use files::Files;
pub use memory::Memory;

/// All settings, by the name of their variable.
#[derive(Debug)]
pub struct Settings {
    /// `WOMBAT_HOST`.
    pub host: IpAddr,
    /// `WOMBAT_PORT`.
    pub port: u16,
    /// `WOMBAT_PUBLIC_URL` and `WOMBAT_TRUSTED_PROXIES`.
    pub front: Front,
    /// `AGENT_DAEMON_API_KEY`.
    pub api_key: Option<SecretString>,
    /// `WOMBAT_METRICS_TOKEN`: opens `/metrics` and nothing else.
    pub metrics_token: Option<SecretString>,
    /// `BACKEND_URL` and `WOMBAT_CONTROL_PLANE_URL`.
    pub backend: BackendAddress,
    /// Signs agent tokens.
    pub minter: std::sync::Arc<TokenMinter>,
    /// Seal the steps of runs' journals, and verify them.
    pub journal_keys: std::sync::Arc<JournalKeys>,
    /// Makes the marks of fences around untrusted text; derived from the agents' key.
    pub fences: FenceKey,
    /// What placeholders of redacted values are made with.
    pub redact_key: RedactKey,
    /// Settings that work but should be corrected.
    pub warnings: Vec<String>,
    /// `WOMBAT_WORKSPACE`.
    pub workspace: PathBuf,
    /// `WOMBAT_AGENT_CONFIG`.
    pub agent_config: Option<PathBuf>,
    /// What customers' profiles may choose from.
    pub customers: Customers,
    /// The environment and `.env`, for what the workspace names in it.
    pub variables: Variables,
    /// `WOMBAT_DEFAULT_TASK`.
    pub default_task: Option<String>,
    /// Models, keys, retries.
    pub llm: LlmSettings,
    /// The retries of backend calls.
    pub backend_retry: RetryPolicy,
    /// `WOMBAT_SKILLS_MODE`.
    pub skills_mode: SkillsMode,
    /// `WOMBAT_MAX_FILE_CHARS`.
    pub max_file_chars: usize,
    /// `WOMBAT_HISTORY_LIMIT`.
    pub history_limit: u32,
    /// `HEARTBEAT_ACK_MAX_CHARS`: letters and digits.
    pub heartbeat_ack_max: usize,
    /// `WOMBAT_DEFAULT_TIMEZONE`.
    pub timezone: Zone,
    /// `WOMBAT_INCLUDE_TIME_CONTEXT`.
    pub include_time: bool,
    /// `WOMBAT_CONTEXT_WARNING_THRESHOLD`, percent.
    pub context_warning_percent: u32,
    /// `WOMBAT_RUN_TIMEOUT_SECS`.
    pub run_timeout: Duration,
    /// Runs that outlive their callers.
    pub background: Background,
    /// Files that come with messages.
    pub files: Files,
    /// What a run is reminded of.
    pub memory: Memory,
    /// How far and how often runs may hand on to other roles.
    pub ask: AskLimits,
    /// `WOMBAT_WEBHOOK_SECRET`: signs deliveries whose request brings no secret.
    pub webhook_secret: Option<SecretString>,
    /// `WOMBAT_MAX_STEPS`.
    pub max_steps: u32,
    /// `WOMBAT_MAX_CONCURRENT_RUNS`.
    pub max_concurrent_runs: usize,
    /// `WOMBAT_THREADS`.
    pub threads: usize,
    /// `WOMBAT_SESSION_POLICY`.
    pub session_policy: SessionPolicy,
    /// `WOMBAT_DRAIN_SECS`.
    pub drain: Duration,
    /// `WOMBAT_MAX_BODY_BYTES`.
    pub max_body_bytes: usize,
    /// `WOMBAT_TOOL_RESULT_MAX_CHARS`.
    pub tool_result_max_chars: usize,
    /// `WOMBAT_TOOLS_DIRECT`.
    pub tools_direct: usize,
    /// `WOMBAT_BACKEND_OPENAPI`.
    pub openapi: Option<OpenApiPlace>,
    /// `WOMBAT_WEBHOOK_ALLOW_PRIVATE`.
    pub webhook_allow_private: bool,
    /// `WOMBAT_PROTOCOLS`.
    pub protocols: Protocols,
    /// `OTEL_*`.
    pub otel: OtelSettings,
    /// `WOMBAT_LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `RUST_LOG`.
    pub log_filter: String,
    /// All of the above as `wombat-daemon config` shows it.
    pub effective: Effective,
}

/// The variables of each provider: API keys and base URL.
const PROVIDERS: [(Provider, &[&str], &str); 8] = [
    (Provider::OpenAi, &["OPENAI_API_KEY"], "OPENAI_BASE_URL"),
    (Provider::Anthropic, &["ANTHROPIC_API_KEY"], "ANTHROPIC_BASE_URL"),
    (Provider::Google, &["GEMINI_API_KEY", "GOOGLE_API_KEY"], "GEMINI_BASE_URL"),
    (Provider::Xai, &["XAI_API_KEY"], "XAI_BASE_URL"),
    (Provider::Groq, &["GROQ_API_KEY"], "GROQ_BASE_URL"),
    (Provider::Mistral, &["MISTRAL_API_KEY"], "MISTRAL_BASE_URL"),
    (Provider::OpenRouter, &["OPENROUTER_API_KEY"], "OPENROUTER_BASE_URL"),
    (Provider::Ollama, &[], "OLLAMA_BASE_URL"),
];

/// What a workspace's gates and `${NAME}` find.
pub(crate) fn lookup(variables: &Variables) -> EnvLookup {
    let variables = variables.clone();
    std::sync::Arc::new(move |name| variables.get(name))
}

impl Settings {
    /// Reads and validates everything.
    ///
    /// # Errors
    /// All problems at once.
    pub fn read(layers: &Layers) -> Result<Self, SettingsError> {
        let mut r = Reader::new(layers);
        let port = r.number("WOMBAT_PORT", 8081_u16, 0..=u16::MAX);
        let front = Front::read(&mut r, "WOMBAT_PUBLIC_URL", "WOMBAT_TRUSTED_PROXIES");
        let metrics_token = r.secret("WOMBAT_METRICS_TOKEN");
        let api_key = r.secret("AGENT_DAEMON_API_KEY");
        let host = read_host(&mut r, api_key.is_some());
        let backend = BackendAddress::read(&mut r);
        let tokens = agent_token::read(&mut r, true);
        let journal_keys = read_journal_keys(&mut r, tokens.key.as_ref());
        let workspace = r.text("WOMBAT_WORKSPACE", "./workspace").into();
        let agent_config = r.optional("WOMBAT_AGENT_CONFIG").map(PathBuf::from);
        let customers = Customers::read(&mut r);
        let default_task = r.optional("WOMBAT_DEFAULT_TASK");
        let retry = read_retry(&mut r);
        let llm = read_llm(&mut r, retry.clone());
        let skills_mode = r.parse("WOMBAT_SKILLS_MODE", "auto", "auto, inline or on_demand");
        let max_file_chars = r.number("WOMBAT_MAX_FILE_CHARS", 20_000_usize, 100..=10_000_000);
        let history_limit = r.number("WOMBAT_HISTORY_LIMIT", 40_u32, 0..=200);
        let heartbeat_ack_max = r.number("HEARTBEAT_ACK_MAX_CHARS", 60_usize, 0..=10_000);
        let timezone = read_timezone(&mut r);
        let include_time = r.flag("WOMBAT_INCLUDE_TIME_CONTEXT", true);
        let context_warning_percent = r.number("WOMBAT_CONTEXT_WARNING_THRESHOLD", 75_u32, 1..=100);
        let run_timeout = r.seconds("WOMBAT_RUN_TIMEOUT_SECS", 120, 1..=86_400);
        let background = Background::read(&mut r);
        let files = Files::read(&mut r);
        let memory = Memory::read(&mut r);
        let ask = ask::read(&mut r);
        let webhook_secret = r.secret("WOMBAT_WEBHOOK_SECRET");
        let max_steps = r.number("WOMBAT_MAX_STEPS", 16_u32, 0..=1_000);
        let max_concurrent_runs = r.number("WOMBAT_MAX_CONCURRENT_RUNS", 1024_usize, 1..=1_000_000);
        let processors = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let threads = r.number("WOMBAT_THREADS", processors, 1..=1_024);
        let session_policy = r.parse("WOMBAT_SESSION_POLICY", "queue", "queue, reject or parallel");
        let drain = r.seconds("WOMBAT_DRAIN_SECS", 30, 0..=3_600);
        let max_body_bytes =
            r.number("WOMBAT_MAX_BODY_BYTES", 2_097_152_usize, 1_024..=1_073_741_824);
        let tool_result_max_chars =
            r.number("WOMBAT_TOOL_RESULT_MAX_CHARS", 20_000_usize, 100..=10_000_000);
        let tools_direct = r.number("WOMBAT_TOOLS_DIRECT", 40_usize, 0..=10_000);
        let webhook_allow_private = r.flag("WOMBAT_WEBHOOK_ALLOW_PRIVATE", false);
        let log_format = r.parse_optional("WOMBAT_LOG_FORMAT", "pretty or json");
        let log_filter = r.text("RUST_LOG", "info");
        let openapi = read_openapi(&mut r, &backend);
        let protocols = read_protocols(&mut r);
        let otel = OtelSettings::read(&mut r);
        let effective = r.finish()?;
        // Unreachable: `finish` fails if one of these could not be read.
        let (
            Some(minter),
            Some(Key::Secret(key) | Key::Pem(key)),
            Some((journal_keys, redact_key)),
            Some(llm),
        ) = (tokens.minter, tokens.key, journal_keys, llm)
        else {
            return Err(SettingsError(vec!["settings could not be read".to_owned()]));
        };
        Ok(Self {
            host,
            port,
            front,
            api_key,
            metrics_token,
            backend,
            minter,
            journal_keys: std::sync::Arc::new(journal_keys),
            fences: FenceKey::new(key.expose_secret().as_bytes()),
            redact_key,
            warnings: tokens
                .warning
                .into_iter()
                .chain(effective.warnings.iter().cloned())
                .collect(),
            workspace,
            agent_config,
            customers,
            variables: layers.variables(),
            default_task,
            llm,
            skills_mode: skills_mode.unwrap_or_default(),
            max_file_chars,
            backend_retry: RetryPolicy {
                attempts: retry.attempts.try_into().unwrap_or(3),
                delay: retry.delay,
                max_delay: retry.max_delay,
                jitter: retry.jitter,
            },
            history_limit,
            heartbeat_ack_max,
            timezone,
            include_time,
            context_warning_percent,
            run_timeout,
            background,
            files,
            memory,
            ask,
            webhook_secret,
            max_steps,
            max_concurrent_runs,
            threads,
            session_policy: session_policy.unwrap_or(SessionPolicy::Queue),
            drain,
            max_body_bytes,
            tool_result_max_chars,
            tools_direct,
            openapi,
            webhook_allow_private,
            protocols,
            otel,
            log_format: log_format.unwrap_or_else(LogFormat::fitting),
            log_filter,
            effective,
        })
    }
}

/// The address to listen at, which is the machine's own unless something guards the daemon.
fn read_host(r: &mut Reader<'_>, has_key: bool) -> IpAddr {
    let host: Option<IpAddr> =
        r.parse("WOMBAT_HOST", "127.0.0.1", "an IP address such as 127.0.0.1 or 0.0.0.0");
    let host = host.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let open = r.flag("WOMBAT_ALLOW_UNAUTHENTICATED", false);
    if !has_key && !host.is_loopback() && !open {
        r.problem(
            "WOMBAT_HOST",
            format!(
                "{host} can be reached from other machines, but AGENT_DAEMON_API_KEY is not set; \
             set a key, or WOMBAT_ALLOW_UNAUTHENTICATED=true if something else guards the daemon"
            ),
        );
    }
    host
}

fn read_openapi(r: &mut Reader<'_>, backend: &BackendAddress) -> Option<OpenApiPlace> {
    let text = r.optional("WOMBAT_BACKEND_OPENAPI")?;
    let place = OpenApiPlace::parse(&text, &backend.application);
    if let Ok(OpenApiPlace::Backend(_)) = place {
        r.show("WOMBAT_BACKEND_OPENAPI", "/\u{2026}");
    }
    place.map_err(|why| r.problem("WOMBAT_BACKEND_OPENAPI", why)).ok()
}

fn read_protocols(r: &mut Reader<'_>) -> Protocols {
    let protocols = r.optional("WOMBAT_PROTOCOLS").unwrap_or_default();
    Protocols::parse(&protocols).unwrap_or_else(|why| {
        r.problem("WOMBAT_PROTOCOLS", why);
        Protocols::default()
    })
}

fn read_timezone(r: &mut Reader<'_>) -> Zone {
    let zone = r.text("WOMBAT_DEFAULT_TIMEZONE", "UTC");
    parse_zone(&zone).unwrap_or_else(|error| {
        r.problem("WOMBAT_DEFAULT_TIMEZONE", error);
        Zone::UTC
    })
}

/// The keys of the journal and of placeholders: their own, or those of the agent tokens. `None` when there is
/// neither.
fn read_journal_keys(r: &mut Reader<'_>, agents: Option<&Key>) -> Option<(JournalKeys, RedactKey)> {
    let mut own = |name: &'static str| {
        let key = r.secret(name)?;
        if key.expose_secret().trim().len() < MIN_SECRET_BYTES {
            r.problem(name, format!(
                "is shorter than {MIN_SECRET_BYTES} bytes and can be guessed; make one with openssl rand -hex 32"
            ));
        }
        Some(key)
    };
    let (key, previous) = (own("WOMBAT_JOURNAL_KEY"), own("WOMBAT_JOURNAL_KEY_PREVIOUS"));
    // With a key of its own, the journal does not rest on any secret of the agent tokens.
    let agents_previous = r.secret("AGENT_JWT_SECRET_PREVIOUS").filter(|_| key.is_none());
    let previous = previous.or(agents_previous);
    let agents = agents.map(|(Key::Secret(key) | Key::Pem(key))| key);
    let key = key.as_ref().or(agents)?;
    let redact_key = RedactKey::new(key.expose_secret().as_bytes());
    Some((JournalKeys::new(key, previous.as_ref()), redact_key))
}

fn read_retry(r: &mut Reader<'_>) -> RetrySettings {
    RetrySettings {
        attempts: r.number("WOMBAT_RETRY_ATTEMPTS", 3_u32, 1..=20),
        delay: r.millis("WOMBAT_RETRY_DELAY_MS", 1_000, 0..=60_000),
        max_delay: r.millis("WOMBAT_RETRY_MAX_DELAY_MS", 30_000, 0..=60_000),
        jitter: r.number("WOMBAT_RETRY_JITTER", 0.1_f64, 0.0..=1.0),
    }
}

fn read_llm(r: &mut Reader<'_>, retry: RetrySettings) -> Option<LlmSettings> {
    let known = "openai, anthropic, google, xai, groq, mistral, openrouter, ollama or offline";
    let provider: Provider = r.parse("LLM_PROVIDER", "openai", known)?;
    let mut endpoints = HashMap::new();
    for (provider, keys, url) in PROVIDERS {
        let mut api_key = None;
        for name in keys {
            let key = r.secret(name);
            api_key = api_key.or(key);
        }
        let base_url = r.optional_url(url);
        endpoints.insert(provider, Endpoint { base_url, api_key });
    }
    let openai_api = match r.text("OPENAI_API", "chat").as_str() {
        "chat" => OpenAiApi::Chat,
        "responses" => OpenAiApi::Responses,
        other => {
            r.refuse("OPENAI_API", other, "chat or responses");
            OpenAiApi::Chat
        }
    };
    let offline_script = r.optional("LLM_OFFLINE_SCRIPT").map(PathBuf::from);
    let mut model = |name: &'static str, old: &'static str| -> Option<ModelRef> {
        let older = r.optional(old);
        let text = r.optional(name).or(older)?;
        ModelRef::parse(&text, provider).map_err(|error| r.problem(name, error)).ok()
    };
    let default = model("LLM_MODEL_DEFAULT", "OPENAI_MODEL_DEFAULT");
    let cheap = model("LLM_MODEL_CHEAP", "OPENAI_MODEL_CHEAP");
    let best = model("LLM_MODEL_BEST", "OPENAI_MODEL_BEST");
    let fallback = model("LLM_MODEL_FALLBACK", "OPENAI_MODEL_FALLBACK");
    let mut readers = |name: &'static str| -> Vec<ModelRef> {
        let listed = r.optional(name).unwrap_or_default();
        let listed = listed.split(',').map(str::trim).filter(|text| !text.is_empty());
        let read = listed.map(|text| ModelRef::parse_pattern(text, provider));
        let read = read.map(|model| model.map_err(|error| r.problem(name, error)).ok());
        read.flatten().collect()
    };
    let image_models = readers("LLM_IMAGE_MODELS");
    let pdf_models = readers("LLM_PDF_MODELS");
    let default = match default {
        Some(default) => default,
        None => match provider {
            Provider::OpenAi => ModelRef { provider, name: "gpt-4o-mini".to_owned() },
            Provider::Offline => ModelRef { provider, name: "offline".to_owned() },
            Provider::Anthropic
            | Provider::Google
            | Provider::Xai
            | Provider::Groq
            | Provider::Mistral
            | Provider::OpenRouter
            | Provider::Ollama => {
                r.problem(
                    "LLM_MODEL_DEFAULT",
                    format!(
                        "is not set; LLM_PROVIDER={} needs the name of one of its models",
                        provider.as_str()
                    ),
                );
                return None;
            }
        },
    };
    Some(LlmSettings {
        cheap,
        best,
        fallback,
        openai_api,
        endpoints,
        retry,
        offline_script,
        record_dir: r.optional("LLM_RECORD_DIR").map(PathBuf::from),
        replay_dir: r.optional("LLM_REPLAY_DIR").map(PathBuf::from),
        image_models,
        pdf_models,
        ..LlmSettings::new(default)
    })
}
