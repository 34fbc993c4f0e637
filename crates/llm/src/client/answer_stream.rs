//! A streamed answer.

use super::{Cassette, LlmClient, Parts, completed, named};
use crate::cassette;
use crate::context::{CallContext, Received};
use crate::error::{LlmError, LlmErrorKind};
use crate::event::StreamEvent;
use crate::model::{ModelRef, Provider};
use crate::offline::OfflineStream;
use crate::provider::{Answer, Failure, LiveStream, Mode, Piece};
use crate::request::LlmRequest;

/// A streamed answer: any number of texts, then exactly one end or error. Retries and fallback happen
/// only before its first text. Dropping it closes the connection.
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
}

/// The state of the stream.
enum State {
    /// The call has not started.
    NotStarted,
    /// The first piece has come; from here on a failure ends the stream.
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
        Self { call: Box::new(Call { client, request, context }), state: State::NotStarted }
    }

    /// The next piece; `None` after the end or an error.
    pub async fn next(&mut self) -> Option<Result<StreamEvent, LlmError>> {
        match self.piece().await? {
            Ok(Piece::Text(text)) => Some(Ok(StreamEvent::Text(text))),
            Ok(Piece::Done(answer)) => Some(self.done(*answer).await),
            Err(error) => {
                self.state = State::Ended;
                Some(Err(error))
            }
        }
    }

    async fn piece(&mut self) -> Option<Result<Piece, LlmError>> {
        match &mut self.state {
            State::Open(pieces, model) => {
                let received = &self.call.context.received;
                Some(pieces.next(received).await.map_err(|failure| {
                    received.attempt_failed();
                    let failure = named(&self.call.request, failure);
                    let mut error = failure.into_error(model.provider);
                    // The stream broke off: its text is with the caller and cannot be taken back.
                    if error.kind == LlmErrorKind::Unavailable {
                        error.kind = LlmErrorKind::BadAnswer;
                    }
                    error
                }))
            }
            State::NotStarted => {
                let Call { client, request, context } = &*self.call;
                // On the heap: it is needed only until the answer begins.
                Some(Box::pin(client.open(request, context)).await.map(|(piece, pieces, model)| {
                    self.state = State::Open(pieces, model);
                    piece
                }))
            }
            State::Ended => None,
        }
    }

    async fn done(&mut self, answer: Answer) -> Result<StreamEvent, LlmError> {
        let Call { client, request, context } = &*self.call;
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
        parts.budget.call();
        let mut attempts = parts.attempts(&request.model, call);
        let mut model = request.model.clone();
        let mut mode = Mode::default();
        loop {
            match parts.open_once(&model, request, call, mode).await {
                Ok((piece, pieces)) => return Ok((piece, pieces, model)),
                Err(failure) => {
                    let failure = named(request, failure);
                    mode.is_plain |= failure.kind == LlmErrorKind::ForbiddenCall;
                    parts.handle_failure(&mut attempts, &mut model, failure, call).await?
                }
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
            let answer = self.script().answer(request, call).await?;
            return Ok(Pieces::Offline(OfflineStream::new(answer)));
        }
        let traceparent = call.traceparent.as_deref();
        let stream = self.network.stream(model, request, traceparent, mode).await?;
        Ok(Pieces::Network(Box::new(stream)))
    }
}
