//! A streamed answer.

use super::{Cassette, LlmClient, Parts, completed, named};
use crate::cassette;
use crate::context::{CallContext, Received};
use crate::error::{LlmError, LlmErrorKind};
use crate::event::StreamEvent;
use crate::media::MediaSupport;
use crate::media_plan;
use crate::model::{ModelRef, Provider};
use crate::offline::OfflineStream;
use crate::provider::{Answer, Failure, LiveStream, Mode, Piece};
use crate::request::LlmRequest;
use crate::retry_policy::Attempts;

/// A streamed answer: any number of texts, then exactly one end or error. Retries and fallback happen
/// only before its first text, unless it may begin anew ([`AnswerStream::that_begins_anew`]). Dropping it
/// closes the connection.
pub struct AnswerStream {
    /// On the heap: a run holds the stream for long, and keeps it small.
    call: Box<Call>,
    state: State,
}

/// The call that the answer is to.
struct Call {
    client: LlmClient,
    request: LlmRequest,
    context: CallContext,
    /// Whether the answer is asked for again when it breaks off.
    begins_anew: bool,
    /// The attempts so far; `None` before the first one, and of a replayed answer.
    tries: Option<Tries>,
}

/// The attempts of a call.
struct Tries {
    attempts: Attempts,
    model: ModelRef,
    mode: Mode,
}

impl Tries {
    /// After a failed attempt: waits until the next one, or gives up.
    async fn after(
        &mut self,
        parts: &Parts,
        request: &LlmRequest,
        failure: Failure,
        call: &CallContext,
    ) -> Result<(), LlmError> {
        let failure = named(request, failure);
        self.mode.is_plain |= failure.kind == LlmErrorKind::ForbiddenCall;
        parts.handle_failure(&mut self.attempts, &mut self.model, failure, call).await
    }
}

/// The state of the stream.
enum State {
    /// The call has not started, or starts again.
    NotStarted,
    /// The first piece has come; from here on a failure ends the stream, unless it begins anew.
    Open(Pieces, ModelRef),
    /// The end or an error was returned.
    Ended,
}

/// The source of the pieces.
pub(super) enum Pieces {
    Network(Box<LiveStream>),
    Offline(OfflineStream),
}

impl Pieces {
    pub(super) async fn next(&mut self, received: &Received) -> Result<Piece, Failure> {
        match self {
            Self::Network(stream) => stream.next(received).await,
            Self::Offline(stream) => stream.next(),
        }
    }
}

impl AnswerStream {
    pub(super) fn new(client: LlmClient, request: LlmRequest, context: CallContext) -> Self {
        let call = Call { client, request, context, begins_anew: false, tries: None };
        Self { call: Box::new(call), state: State::NotStarted }
    }

    /// The same stream, for a caller who can take text back: after a failure retries and fallback happen
    /// as long as they may, each after a [`StreamEvent::Again`].
    #[must_use]
    pub fn that_begins_anew(mut self) -> Self {
        self.call.begins_anew = true;
        self
    }

    /// The next piece; `None` after the end or an error.
    pub async fn next(&mut self) -> Option<Result<StreamEvent, LlmError>> {
        match self.piece().await? {
            Ok(Some(Piece::Text(text))) => Some(Ok(StreamEvent::Text(text))),
            Ok(Some(Piece::Done(answer))) => Some(self.done(*answer).await),
            Ok(None) => {
                self.state = State::NotStarted;
                Some(Ok(StreamEvent::Again))
            }
            Err(error) => {
                self.state = State::Ended;
                Some(Err(error))
            }
        }
    }

    /// The next piece; `Ok(None)` where the answer begins anew.
    async fn piece(&mut self) -> Option<Result<Option<Piece>, LlmError>> {
        let Call { client, request, context, begins_anew, tries } = &mut *self.call;
        match &mut self.state {
            State::Open(pieces, model) => {
                let received = &context.received;
                let failure = match pieces.next(received).await {
                    Ok(piece) => return Some(Ok(Some(piece))),
                    Err(failure) => failure,
                };
                if let (true, Some(tries)) = (*begins_anew, tries) {
                    let after = Box::pin(tries.after(&client.0, request, failure, context)).await;
                    return Some(after.map(|()| None));
                }
                received.attempt_failed();
                let mut error = named(request, failure).into_error(model.provider);
                // The stream broke off: its text is with the caller and cannot be taken back.
                if error.kind == LlmErrorKind::Unavailable {
                    error.kind = LlmErrorKind::BadAnswer;
                }
                Some(Err(error))
            }
            State::NotStarted => {
                // On the heap: it is needed only until the answer begins.
                let opened = Box::pin(client.open(request, context, tries)).await;
                Some(opened.map(|(piece, pieces, model)| {
                    self.state = State::Open(pieces, model);
                    Some(piece)
                }))
            }
            State::Ended => None,
        }
    }

    async fn done(&mut self, answer: Answer) -> Result<StreamEvent, LlmError> {
        let Call { client, request, context, .. } = &*self.call;
        let State::Open(_, model) = std::mem::replace(&mut self.state, State::Ended) else {
            return Err(Failure::cut_off().into_error(request.model.provider));
        };
        let completion = Box::new(completed(&model, answer));
        client.0.warn_if_unpriced(&model, &completion);
        client.0.cassette.record(request, context, &completion).await;
        Ok(StreamEvent::Done(completion))
    }
}

impl LlmClient {
    /// Calls models until a first piece has come.
    async fn open(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        tries: &mut Option<Tries>,
    ) -> Result<(Piece, Pieces, ModelRef), LlmError> {
        let parts = &*self.0;
        if let Cassette::Replay(folder) = &parts.cassette {
            let replayed = folder.replay(request, call).await;
            let replayed =
                replayed.map_err(|failure| failure.into_error(request.model.provider))?;
            let model = ModelRef::new(replayed.provider, &replayed.model);
            let mut pieces = Pieces::Offline(OfflineStream::new(cassette::answer(replayed)));
            let first = pieces
                .next(&call.received)
                .await
                .map_err(|failure| failure.into_error(model.provider))?;
            return Ok((first, pieces, model));
        }
        let tries = tries.get_or_insert_with(|| {
            parts.budget.call();
            let attempts = parts.attempts(&request.model, call);
            Tries { attempts, model: request.model.clone(), mode: Mode::default() }
        });
        loop {
            match parts.open_once(&tries.model, request, call, tries.mode).await {
                Ok((piece, pieces)) => return Ok((piece, pieces, tries.model.clone())),
                Err(failure) => tries.after(parts, request, failure, call).await?,
            }
        }
    }
}

impl Parts {
    async fn open_once(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        call: &CallContext,
        mode: Mode,
    ) -> Result<(Piece, Pieces), Failure> {
        let mut pieces = self.pieces(model, request, call, mode).await?;
        Ok((pieces.next(&call.received).await?, pieces))
    }

    /// Begins an attempt.
    pub(super) async fn pieces(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        call: &CallContext,
        mode: Mode,
    ) -> Result<Pieces, Failure> {
        call.received.attempt_begins(model);
        if model.provider == Provider::Offline {
            let support = MediaSupport::of(model.provider, &model.name);
            call.shown.note(media_plan::shown(&request.messages, &support).1);
            let answer = self.script().answer(request, call).await?;
            return Ok(Pieces::Offline(OfflineStream::new(answer)));
        }
        let mut stream = self.network.stream(model, request, call, mode).await?;
        call.shown.note(stream.used());
        Ok(Pieces::Network(Box::new(stream)))
    }
}
