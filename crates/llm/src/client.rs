//! The client: calls a model, with retries, deadlines and a fallback model.

mod answer_stream;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use outbound::HttpClient;
use tokio::time::sleep;

use crate::cassette::Folder;
use crate::catalog;
use crate::context::CallContext;
use crate::cost::cost;
use crate::error::{LlmError, LlmErrorKind};
use crate::event::Completion;
use crate::media::{self, MediaSupport};
use crate::model::{ModelRef, Provider, Tier};
use crate::offline::Script;
use crate::provider::{Answer, Failure, Mode, Network, Piece};
use crate::request::{LlmRequest, ToolChoice, ToolList, ToolProblem};
use crate::retry_policy::{Attempts, Budget, Next};
use crate::server::ServerFinding;
use crate::settings::{LlmConfigError, LlmSettings};

pub use answer_stream::AnswerStream;

/// Calls models. Cheap to clone; all clones share connections and the retry budget.
#[derive(Debug, Clone)]
pub struct LlmClient(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    settings: LlmSettings,
    network: Network,
    /// Read at the start when the offline provider is the default or the operator set a script; else
    /// on first use.
    script: OnceLock<Script>,
    cassette: Cassette,
    budget: Budget,
    /// Models without a known price for which that has been logged.
    unpriced: Mutex<HashSet<ModelRef>>,
}

/// The most models of which a missing price is logged and remembered: callers may name any model.
const MAX_UNPRICED: usize = 1_000;

/// Whether answers are recorded or replayed.
#[derive(Debug)]
enum Cassette {
    Off,
    /// Each exchange is recorded.
    Record(Folder),
    /// No provider is called; answers come from this folder.
    Replay(Folder),
}

impl Cassette {
    fn of(settings: &LlmSettings) -> Result<Self, LlmConfigError> {
        match (&settings.record_dir, &settings.replay_dir) {
            (Some(_), Some(_)) => Err(LlmConfigError::RecordAndReplay),
            (Some(dir), None) => {
                Folder::to_record(dir).map(Self::Record).map_err(LlmConfigError::Recordings)
            }
            (None, Some(dir)) => {
                Folder::to_replay(dir).map(Self::Replay).map_err(LlmConfigError::Recordings)
            }
            (None, None) => Ok(Self::Off),
        }
    }

    async fn record(&self, request: &LlmRequest, call: &CallContext, completion: &Completion) {
        match self {
            Self::Record(folder) => folder.record(request, call, completion).await,
            Self::Off | Self::Replay(_) => {}
        }
    }
}

impl LlmClient {
    /// Checks the settings and makes no call. The connect timeout is that of `http`.
    ///
    /// # Errors
    /// When an address, a key, the offline script or a folder of recordings cannot be used.
    pub fn new(settings: LlmSettings, http: impl Into<HttpClient>) -> Result<Self, LlmConfigError> {
        catalog::check().and_then(|()| media::check()).map_err(LlmConfigError::Catalog)?;
        let network = Network::new(&settings, http.into())?;
        let script = OnceLock::new();
        if settings.offline_script.is_some() || settings.default.provider == Provider::Offline {
            let loaded = Script::load(settings.offline_script.as_deref());
            let _first = script.set(loaded.map_err(LlmConfigError::OfflineScript)?);
        }
        let cassette = Cassette::of(&settings)?;
        Ok(Self(Arc::new(Parts {
            settings,
            network,
            script,
            cassette,
            budget: Budget::default(),
            unpriced: Mutex::default(),
        })))
    }

    /// The model of a tier.
    pub fn model(&self, tier: Tier) -> &ModelRef {
        let settings = &self.0.settings;
        match tier {
            Tier::Default => &settings.default,
            Tier::Cheap => settings.cheap.as_ref().unwrap_or(&settings.default),
            Tier::Best => settings.best.as_ref().unwrap_or(&settings.default),
        }
    }

    /// The model that is called when another fails.
    pub fn fallback(&self) -> Option<&ModelRef> {
        self.0.settings.fallback.as_ref()
    }

    /// Whether the default model can be called: its provider has the key that it needs, or answers
    /// are scripted or replayed.
    pub fn configured(&self) -> bool {
        self.has_key(&self.0.settings.default)
    }

    /// Whether a model, or else the fallback where it may be asked, can be called as far as is known without
    /// a call: its provider has the key that it needs.
    ///
    /// # Errors
    /// `NotConfigured`, as the call would fail.
    pub fn check(&self, model: &ModelRef, falls_back: bool) -> Result<(), LlmError> {
        if matches!(self.0.cassette, Cassette::Replay(_)) {
            return Ok(());
        }
        let missing = |model: &ModelRef| self.0.network.missing_key(model.provider);
        let Some(mut variable) = missing(model) else { return Ok(()) };
        let mut model = model;
        if let Some(fallback) = self.fallback().filter(|_| falls_back) {
            let Some(other) = missing(fallback) else { return Ok(()) };
            (model, variable) = (fallback, other);
        }
        Err(Failure::not_configured(variable).into_error(model.provider))
    }

    /// The context window of a model in tokens; `None` where it is not known.
    pub fn context_window(&self, model: &ModelRef) -> Option<u64> {
        catalog::find(model.provider, &model.name).map(|entry| entry.context)
    }

    /// The longest answer of a model in tokens, reasoning included; `None` where it is not known.
    pub fn max_output(&self, model: &ModelRef) -> Option<u32> {
        catalog::find(model.provider, &model.name).map(|entry| entry.max_output)
    }

    /// Which images and documents a model gets.
    pub fn media_support(&self, model: &ModelRef) -> MediaSupport {
        self.0.network.media_support(model)
    }

    /// How tools differ at a model's provider from their definitions: what is left out, cut, or has
    /// another name there. Empty for scripted and replayed answers.
    pub fn tool_problems(&self, model: &ModelRef, tools: &ToolList) -> Vec<ToolProblem> {
        self.0.network.tool_problems(model, tools)
    }

    /// Asks the servers of all configured models about key, model and tools, without generating anything:
    /// this costs nothing. Empty for scripted and replayed answers.
    pub async fn ask_servers(&self) -> Vec<ServerFinding> {
        if matches!(self.0.cassette, Cassette::Replay(_)) {
            return Vec::new();
        }
        let models = self.models().into_iter().cloned().collect::<Vec<_>>();
        self.0.network.ask_servers(&models).await
    }

    /// The models of all tiers and the fallback, each once.
    pub fn models(&self) -> Vec<&ModelRef> {
        let tiers = [Tier::Default, Tier::Cheap, Tier::Best];
        let mut models: Vec<&ModelRef> = Vec::new();
        for model in tiers.into_iter().map(|tier| self.model(tier)).chain(self.fallback()) {
            if !models.contains(&model) {
                models.push(model);
            }
        }
        models
    }

    /// Whether a model's provider has the key that it needs.
    pub fn has_key(&self, model: &ModelRef) -> bool {
        let needs_none =
            model.provider == Provider::Offline || matches!(self.0.cassette, Cassette::Replay(_));
        needs_none || self.0.network.has_key(model.provider)
    }

    /// Why a model sees no tools although they are sent: known once its server has answered a request
    /// with some.
    pub fn unseen_tools(&self, model: &ModelRef) -> Option<String> {
        self.0.network.unseen_tools(model)
    }

    /// Calls the model for a whole answer, with retries and fallback. The provider streams it, so that
    /// an answer that takes long is not taken for silence; nothing of an attempt that fails is kept.
    ///
    /// # Errors
    /// The failure of the last attempt.
    pub async fn complete(
        &self,
        request: &LlmRequest,
        call: &CallContext,
    ) -> Result<Completion, LlmError> {
        let parts = &*self.0;
        if let Cassette::Replay(folder) = &parts.cassette {
            let replayed = folder.replay(request, call).await;
            return replayed.map_err(|failure| failure.into_error(request.model.provider));
        }
        parts.budget.call();
        let mut attempts = parts.attempts(&request.model, call);
        let mut model = request.model.clone();
        let mut mode = Mode { is_whole: true, is_plain: false };
        loop {
            match Box::pin(parts.complete_once(&model, request, call, mode)).await {
                Ok(answer) => {
                    let completion = completed(&model, answer);
                    parts.warn_if_unpriced(&model, &completion);
                    parts.cassette.record(request, call, &completion).await;
                    return Ok(completion);
                }
                Err(failure) => {
                    let failure = named(request, failure);
                    mode.is_plain |= failure.kind == LlmErrorKind::ForbiddenCall;
                    parts.handle_failure(&mut attempts, &mut model, failure, call).await?
                }
            }
        }
    }

    /// Calls the model for a streamed answer. The call starts when its first piece is awaited.
    pub fn stream(&self, request: LlmRequest, call: CallContext) -> AnswerStream {
        AnswerStream::new(self.clone(), request, call)
    }
}

impl Parts {
    fn script(&self) -> &Script {
        self.script.get_or_init(|| Script::BuiltIn)
    }

    fn attempts(&self, model: &ModelRef, call: &CallContext) -> Attempts {
        let fallback = self.settings.fallback.clone();
        let fallback = fallback.filter(|fallback| fallback != model && !call.without_fallback);
        Attempts::new(
            self.settings.retry.clone(),
            fallback,
            self.settings.timeouts.waits_total,
            call.deadline,
        )
    }

    async fn complete_once(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        call: &CallContext,
        mode: Mode,
    ) -> Result<Answer, Failure> {
        let mut pieces = self.pieces(model, request, call, mode).await?;
        loop {
            if let Piece::Done(answer) = pieces.next(&call.received).await? {
                return Ok(*answer);
            }
        }
    }

    /// After a failed attempt: waits for the retry, falls back to the other model, or gives up.
    async fn handle_failure(
        &self,
        attempts: &mut Attempts,
        model: &mut ModelRef,
        failure: Failure,
        call: &CallContext,
    ) -> Result<(), LlmError> {
        call.received.attempt_failed();
        match attempts.after(&failure, &self.budget) {
            Next::Wait(wait) => {
                call.tally.count_retry();
                tracing::warn!(
                    provider = model.provider.as_str(),
                    model = model.name,
                    status = failure.status,
                    wait_ms = wait.as_millis(),
                    cause = %shown::for_log(call.log_mask.as_deref(), &failure.cause),
                    "model call failed; retrying after a delay"
                );
                sleep(wait).await;
            }
            Next::FallBack => {
                let Some(fallback) = attempts.fall_back() else {
                    return Err(failure.into_error(model.provider));
                };
                call.tally.count_fallback();
                tracing::warn!(
                    provider = model.provider.as_str(),
                    model = model.name,
                    status = failure.status,
                    cause = %shown::for_log(call.log_mask.as_deref(), &failure.cause),
                    fallback = %fallback,
                    "model call failed; falling back to another model"
                );
                *model = fallback;
            }
            Next::GiveUp => return Err(failure.into_error(model.provider)),
        }
        Ok(())
    }
}

impl Parts {
    /// Logs once per model that its answers have no known cost.
    fn warn_if_unpriced(&self, model: &ModelRef, completion: &Completion) {
        if cost(&completion.model, completion.provider, &completion.usage).is_some() {
            return;
        }
        let mut logged = self.unpriced.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() < MAX_UNPRICED && logged.insert(model.clone()) {
            tracing::warn!(
                provider = model.provider.as_str(),
                model = model.name,
                "no price is known for this model; its cost is reported as unknown"
            );
        }
    }
}

/// A failure under its own name where the model called a tool although none was allowed. The next
/// attempt then gives it neither tools nor calls to imitate.
fn named(request: &LlmRequest, failure: Failure) -> Failure {
    // The words of Groq, of Gemini, and of this crate.
    let words = ["tool_use", "tool_call", "function_call", "tool call"];
    let code = failure.code.as_deref().unwrap_or_default().to_ascii_lowercase();
    let is_forbidden_call = request.tool_choice == ToolChoice::None
        && failure.kind == LlmErrorKind::BadAnswer
        && words.iter().any(|word| code.contains(word));
    let kind = if is_forbidden_call { LlmErrorKind::ForbiddenCall } else { failure.kind };
    Failure { kind, ..failure }
}

fn completed(model: &ModelRef, answer: Answer) -> Completion {
    Completion {
        message: answer.message,
        finish_reason: answer.finish_reason,
        usage: answer.usage,
        model: model.name.clone(),
        provider: model.provider,
    }
}
