//! The names of all settings of all programs, to tell a misspelled key in a file from the setting of
//! another program.

/// Every variable that some program reads; in a settings file, the same in lower case.
pub const ALL: &[&str] = &[
    "AGENT_DAEMON_API_KEY",
    "AGENT_DAEMON_URL",
    "AGENT_JWT_ALGORITHM",
    "AGENT_JWT_BEARER",
    "AGENT_JWT_KEY_ID",
    "AGENT_JWT_LEGACY",
    "AGENT_JWT_PRIVATE_KEY",
    "AGENT_JWT_PUBLIC_KEY",
    "AGENT_JWT_PUBLIC_KEY_PREVIOUS",
    "AGENT_JWT_SECRET",
    "AGENT_JWT_SECRET_PREVIOUS",
    "AGENT_JWT_TTL_SECS",
    "AGENT_ROLE",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "BACKEND_URL",
    "DATABASE_URL",
    "DISPATCH_CONCURRENCY",
    "DISPATCH_DEFAULT_TASK",
    "DISPATCH_HTTP_PORT",
    "DISPATCH_LEASE_SECONDS",
    "DISPATCH_LIMIT_NOTIFICATIONS",
    "DISPATCH_LIMIT_USERS",
    "DISPATCH_MAX_ATTEMPTS",
    "DISPATCH_MAX_INTERVAL_SEC",
    "DISPATCH_MIN_INTERVAL_SEC",
    "DISPATCH_ORPHANS_INTERVAL_SEC",
    "DISPATCH_SEND_TIMEOUT_SEC",
    "GEMINI_API_KEY",
    "GEMINI_BASE_URL",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "GROQ_BASE_URL",
    "HEARTBEAT_ACK_MAX_CHARS",
    "HEARTBEAT_TASK",
    "INTERNAL_API_TOKEN",
    "LLM_IMAGE_MODELS",
    "LLM_MODEL_BEST",
    "LLM_MODEL_CHEAP",
    "LLM_MODEL_DEFAULT",
    "LLM_MODEL_FALLBACK",
    "LLM_OFFLINE_SCRIPT",
    "LLM_PDF_MODELS",
    "LLM_PROVIDER",
    "LLM_RECORD_DIR",
    "LLM_REPLAY_DIR",
    "MC_ARTIFACTS_QUOTA_BYTES",
    "MC_ARTIFACT_MAX_BYTES",
    "MC_ARTIFACT_TTL_SECS",
    "MC_BOARD_AUTH_HEADER",
    "MC_BOARD_OPERATORS",
    "MC_BOARD_OPERATOR_ROLE",
    "MC_BOARD_PASSWORD",
    "MC_BOARD_ROLE_HEADER",
    "MC_BOARD_TRUSTED_PROXIES",
    "MC_BUDGET_USD",
    "MC_DATABASE_URL",
    "MC_DATA_DIR",
    "MC_DB_CONNECTIONS",
    "MC_DELTAS_MAX_BYTES",
    "MC_DELTAS_TTL_SECS",
    "MC_DEMO",
    "MC_FILES_QUOTA_BYTES",
    "MC_FILE_MAX_BYTES",
    "MC_HOST",
    "MC_LEAD_ROLES",
    "MC_LISTEN_URL",
    "MC_ORPHAN_MAX_ATTEMPTS",
    "MC_PORT",
    "MC_PROFILE_MAX_AGE",
    "MC_PUBLIC_URL",
    "MC_RETENTION",
    "MC_RULES_PER_USER",
    "MC_SCHEMA",
    "MC_STREAM_URL",
    "MISTRAL_API_KEY",
    "MISTRAL_BASE_URL",
    "OLLAMA_BASE_URL",
    "OPENAI_API",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_MODEL_BEST",
    "OPENAI_MODEL_CHEAP",
    "OPENAI_MODEL_DEFAULT",
    "OPENAI_MODEL_FALLBACK",
    "OPENROUTER_API_KEY",
    "OPENROUTER_BASE_URL",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "RUST_LOG",
    "STANDUP_TIMEZONE",
    "USER_ID",
    "WOMBAT_AGENT_CONFIG",
    "WOMBAT_ALLOW_UNAUTHENTICATED",
    "WOMBAT_ASK_MAX_DEPTH",
    "WOMBAT_ASK_MAX_FANOUT",
    "WOMBAT_ATTACHMENTS_MAX_BYTES",
    "WOMBAT_BACKEND_OPENAPI",
    "WOMBAT_BACKGROUND_TIMEOUT_SECS",
    "WOMBAT_CONTEXT_WARNING_THRESHOLD",
    "WOMBAT_CONTROL_PLANE_URL",
    "WOMBAT_DEFAULT_TASK",
    "WOMBAT_DEFAULT_TIMEZONE",
    "WOMBAT_DRAIN_SECS",
    "WOMBAT_HISTORY_FILES",
    "WOMBAT_HISTORY_LIMIT",
    "WOMBAT_HOST",
    "WOMBAT_INCLUDE_TIME_CONTEXT",
    "WOMBAT_JOURNAL_KEY",
    "WOMBAT_JOURNAL_KEY_PREVIOUS",
    "WOMBAT_LOG_FORMAT",
    "WOMBAT_MAX_ATTACHMENTS",
    "WOMBAT_MAX_BODY_BYTES",
    "WOMBAT_MAX_CONCURRENT_RUNS",
    "WOMBAT_MAX_FILE_CHARS",
    "WOMBAT_MAX_QUEUED_PER_SESSION",
    "WOMBAT_MAX_READERS_PER_RUN",
    "WOMBAT_MAX_STEPS",
    "WOMBAT_MEMORY_MAX_CHARS",
    "WOMBAT_MEMORY_MAX_ITEMS",
    "WOMBAT_METRICS_TOKEN",
    "WOMBAT_PORT",
    "WOMBAT_PROFILE_MODELS",
    "WOMBAT_PROTOCOLS",
    "WOMBAT_PUBLIC_URL",
    "WOMBAT_QUESTION_TTL_SECS",
    "WOMBAT_REQUIRED_FEATURES",
    "WOMBAT_RETRY_ATTEMPTS",
    "WOMBAT_RETRY_DELAY_MS",
    "WOMBAT_RETRY_JITTER",
    "WOMBAT_RETRY_MAX_DELAY_MS",
    "WOMBAT_RUN_TIMEOUT_SECS",
    "WOMBAT_SESSION_POLICY",
    "WOMBAT_SKILLS_MODE",
    "WOMBAT_STREAM_IDLE_SECS",
    "WOMBAT_THREADS",
    "WOMBAT_TOOLS_DIRECT",
    "WOMBAT_TOOL_RESULT_MAX_CHARS",
    "WOMBAT_TRUSTED_PROXIES",
    "WOMBAT_WEBHOOK_ALLOW_PRIVATE",
    "WOMBAT_WEBHOOK_SECRET",
    "WOMBAT_WORKSPACE",
    "WOMBAT_WORKSPACES",
    "XAI_API_KEY",
    "XAI_BASE_URL",
];

/// Whether a variable is a secret, whose value is never shown.
pub fn is_secret(name: &str) -> bool {
    // A database URL may contain a password.
    name.ends_with("_API_KEY")
        || matches!(
            name,
            "AGENT_JWT_SECRET"
                | "AGENT_JWT_SECRET_PREVIOUS"
                | "DATABASE_URL"
                | "MC_DATABASE_URL"
                | "INTERNAL_API_TOKEN"
                | "MC_BOARD_PASSWORD"
                | "MC_LISTEN_URL"
                | "MC_STREAM_URL"
                | "OTEL_EXPORTER_OTLP_HEADERS"
                | "WOMBAT_JOURNAL_KEY"
                | "WOMBAT_JOURNAL_KEY_PREVIOUS"
                | "WOMBAT_METRICS_TOKEN"
                | "WOMBAT_WEBHOOK_SECRET"
        )
}

/// Whether a variable is a secret of one of the programs, and not of something else that is started
/// beside them.
pub fn is_own_secret(name: &str) -> bool {
    ALL.contains(&name) && is_secret(name)
}

/// How the names of our own settings begin.
const OWN_PREFIXES: [&str; 7] =
    ["WOMBAT_", "MC_", "DISPATCH_", "AGENT_", "LLM_", "HEARTBEAT_", "STANDUP_"];

/// Settings that other software has as well, or that are named as its are.
const SHARED: [&str; 11] = [
    "ANTHROPIC_",
    "BACKEND_",
    "DATABASE_",
    "GEMINI_",
    "GOOGLE_",
    "GROQ_",
    "MISTRAL_",
    "OLLAMA_",
    "OPENAI_",
    "OPENROUTER_",
    "XAI_",
];

/// Names of the TypeScript original that have another name here.
const FORMER: [(&str, &str); 1] = [("INTERNAL_TOKEN", "INTERNAL_API_TOKEN")];

/// Settings without which a program starts all the same, and is open to more people, or without a bound.
const PROTECTING: [&str; 6] = [
    "AGENT_DAEMON_API_KEY",
    "INTERNAL_API_TOKEN",
    "MC_BOARD_AUTH_HEADER",
    "MC_BOARD_PASSWORD",
    "MC_BUDGET_USD",
    "WOMBAT_METRICS_TOKEN",
];

/// The setting that protects and that a variable was meant to be.
pub(super) fn protecting(name: &str) -> Option<&'static str> {
    meant(name, &|_| false).filter(|meant| PROTECTING.contains(meant))
}

/// What to say of a variable that is no setting, but was probably meant to be one. The environment and
/// `.env` belong to others as well, so only a small slip counts, and any name that begins with
/// `WOMBAT_`. Where a name may be another program's, it is told only while the one that was meant is not
/// set.
pub fn misspelled(name: &str, is_set: &dyn Fn(&str) -> bool) -> Option<String> {
    if ALL.contains(&name) {
        return None;
    }
    if let Some(renamed) = renamed(name) {
        return (!is_set(&renamed)).then(|| format!("{name} is no setting; it is {renamed} here"));
    }
    if let Some(nearest) = meant(name, is_set) {
        return Some(format!("{name} is no setting; did you mean {nearest}?"));
    }
    // Kubernetes makes variables of the names of services; the tests have their own.
    let is_service = ["_SERVICE_", "_PORT", "WOMBAT_TEST_"].iter().any(|part| name.contains(part));
    (name.starts_with("WOMBAT_") && !is_service).then(|| format!("{name} is no setting"))
}

/// The setting that a variable was meant to be, but for a small slip.
fn meant(name: &str, is_set: &dyn Fn(&str) -> bool) -> Option<&'static str> {
    if ALL.contains(&name) {
        return None;
    }
    let upper = name.to_ascii_uppercase();
    let begins = |name: &str, with: &[&str]| with.iter().any(|prefix| name.starts_with(prefix));
    let is_own = |name: &str| begins(name, &OWN_PREFIXES);
    let is_shared =
        |name: &str| begins(name, &SHARED) && name.chars().next() == upper.chars().next();
    let known = ALL
        .iter()
        .filter(|known| is_own(known) || known.starts_with("INTERNAL_") || is_shared(known));
    let (distance, nearest) =
        known.map(|known| (strsim::damerau_levenshtein(known, &upper), *known)).min()?;
    let slips = match (is_own(&upper), nearest.len()) {
        (true, 10..) => 2,
        (true, _) | (false, 10..) => 1,
        (false, _) => 0,
    };
    // No other program has a name of the same letters in another order.
    let is_swapped = letters(nearest) == letters(&upper);
    let is_meant = !begins(nearest, &SHARED) || !is_set(nearest) || is_swapped;
    let is_near = distance <= slips && (distance > 0 || is_own(&upper));
    (is_near && is_meant).then_some(nearest)
}

/// What to say of a variable that is no setting where this setting is missing: it was probably meant. As
/// it is missed, also a name that may be another program's counts.
pub fn missed(name: &str, missing: &str) -> Option<String> {
    if ALL.contains(&name) {
        return None;
    }
    let told = misspelled(name, &|_| false);
    let names_it = |told: &String| words(told).any(|word| word == missing);
    let slips = if missing.len() < 10 { 1 } else { 2 };
    let is_near = || strsim::damerau_levenshtein(&name.to_ascii_uppercase(), missing) <= slips;
    told.filter(names_it)
        .or_else(|| is_near().then(|| format!("{name} is no setting; did you mean {missing}?")))
}

/// The words of a sentence that may be names of settings.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

fn letters(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters
}

/// The name here of a setting of the TypeScript original, which was renamed as a whole later.
fn renamed(name: &str) -> Option<String> {
    let former = FORMER.iter().find(|(former, _)| *former == name);
    let ours = former.map(|(_, ours)| (*ours).to_owned());
    let later = || name.strip_prefix("CLASPER_").map(|rest| format!("WOMBAT_{rest}"));
    ours.or_else(later).filter(|ours| ALL.contains(&ours.as_str()))
}

/// The known name most similar to a misspelled one, if any is similar.
pub fn nearest(name: &str) -> Option<&'static str> {
    nearest_of(&name.to_uppercase(), ALL)
}

/// The word of a list most similar to a misspelled one, if any is similar.
pub fn nearest_of(word: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known, word), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::{misspelled, protecting};

    #[test]
    fn slips_of_every_programs_settings_are_told_and_others_names_are_not() {
        for (name, meant) in [
            ("WOMBAT_RETRY_ATEMPTS", "WOMBAT_RETRY_ATTEMPTS"),
            ("WOMBAT_PROT", "WOMBAT_PORT"),
            ("wombat_port", "WOMBAT_PORT"),
            ("WOMBAT-HOST", "WOMBAT_HOST"),
            ("MC_BORD_PASSWORD", "MC_BOARD_PASSWORD"),
            ("DISPATCH_LIMIT_USER", "DISPATCH_LIMIT_USERS"),
            ("AGENT_JWT_SECERT", "AGENT_JWT_SECRET"),
            ("AGENT_DEAMON_URL", "AGENT_DAEMON_URL"),
            ("LLM_MODEL_DEFUALT", "LLM_MODEL_DEFAULT"),
            ("HEARTBEAT_TASKS", "HEARTBEAT_TASK"),
            ("STANDUP_TIMEZON", "STANDUP_TIMEZONE"),
            ("INTERNAL_API_TOKN", "INTERNAL_API_TOKEN"),
            ("BACKEND_ULR", "BACKEND_URL"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("OPENAI_APIKEY", "OPENAI_API_KEY"),
            ("ANTHROPIC_API_KY", "ANTHROPIC_API_KEY"),
            ("GROK_API_KEY", "GROQ_API_KEY"),
            ("OPENAI_BASE_URI", "OPENAI_BASE_URL"),
        ] {
            let told = misspelled(name, &|_| false).unwrap_or_default();
            assert!(told.ends_with(&format!("did you mean {meant}?")), "{name}: {told}");
        }
        for (name, ours) in [
            ("INTERNAL_TOKEN", "INTERNAL_API_TOKEN"),
            ("CLASPER_PORT", "WOMBAT_PORT"),
            ("CLASPER_DEFAULT_TASK", "WOMBAT_DEFAULT_TASK"),
        ] {
            let told = misspelled(name, &|_| false).unwrap_or_default();
            assert!(told.ends_with(&format!("it is {ours} here")), "{name}: {told}");
            assert_eq!(misspelled(name, &|set| set == ours), None, "{name}: both are there");
        }
        for others in [
            "PATH",
            "USER_UID",
            "AI_API_KEY",
            "OPENAI_ORG_ID",
            "OPENAI_API_VERSION",
            "DATABASE_HOST",
            "OPS_RBAC_CLAIM",
            "DEEP_LINK_TASK_TEMPLATE",
            "CLASPER_POLICY_PATH",
            "MC_LITE_PORT",
            "WOMBAT_SERVICE_HOST",
            "BACKEND_CORS_ORIGINS",
            "AGENT_NAME",
            "",
        ] {
            assert_eq!(misspelled(others, &|_| false), None, "{others}");
        }
        for (name, meant) in [
            ("AGENT_DEAMON_API_KEY", Some("AGENT_DAEMON_API_KEY")),
            ("agent_daemon_api_key", Some("AGENT_DAEMON_API_KEY")),
            ("MC_BORD_PASSWORD", Some("MC_BOARD_PASSWORD")),
            ("INTERNAL_API_TOKN", Some("INTERNAL_API_TOKEN")),
            ("AGENT_DAEMON_API_KEY", None),
            ("INTERNAL_TOKEN", None),
            ("WOMBAT_PROT", None),
        ] {
            assert_eq!(protecting(name), meant, "{name}");
        }
        // Open WebUI's own, beside the one that counts here.
        assert_eq!(misspelled("OPENAI_API_KEYS", &|set| set == "OPENAI_API_KEY"), None);
        assert!(misspelled("BACKEND_ULR", &|_| true).is_some(), "nobody's");
        assert!(misspelled("WOMBAT_RETRY_ATEMPTS", &|_| true).is_some(), "ours is nobody else's");
    }
}
