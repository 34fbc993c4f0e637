//! How a transaction ended, for each of those who wrote in it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use sqlx::Error;
use sqlx::error::{DatabaseError, ErrorKind};
use tokio::sync::watch;

/// How a transaction ended.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// It is on disk.
    Committed,
    /// The database refused it.
    Refused(Arc<dyn DatabaseError>),
    /// The database, or the way to it, failed.
    Failed(io::ErrorKind, Arc<dyn StdError + Send + Sync>),
}

/// An error that several were told.
#[derive(Debug)]
struct Shared(Arc<dyn StdError + Send + Sync>);

/// What a database said to several.
#[derive(Debug)]
struct Said(Arc<dyn DatabaseError>);

impl Outcome {
    /// That of a transaction that failed.
    pub(super) fn of(error: Error) -> Self {
        match error {
            Error::Database(said) => Self::Refused(said.into()),
            Error::Io(error) => {
                let kind = error.kind();
                let error: Box<dyn StdError + Send + Sync> = match error.into_inner() {
                    Some(error) => error,
                    None => kind.to_string().into(),
                };
                Self::Failed(kind, error.into())
            }
            other => Self::Failed(io::ErrorKind::Other, Arc::new(other)),
        }
    }

    /// Waits until a transaction has ended.
    pub(super) async fn wait(mut outcome: watch::Receiver<Option<Self>>) -> Result<(), Error> {
        let ended = outcome.wait_for(Option::is_some).await.map(|ended| ended.clone());
        match ended {
            Ok(Some(Self::Committed)) => Ok(()),
            Ok(Some(Self::Refused(said))) => Err(Error::Database(Box::new(Said(said)))),
            Ok(Some(Self::Failed(kind, error))) => {
                Err(Error::Io(io::Error::new(kind, Shared(error))))
            }
            Ok(None) | Err(_) => Err(unknown()),
        }
    }
}

/// What is told where nobody can tell any more how a transaction ended: the program stops.
pub(super) fn unknown() -> Error {
    Error::Io(io::Error::other("the write was not ended: the program stops"))
}

/// The error of a transaction that the database has ended on its own, such as on a full disk: what it says
/// of the next statement is of no use to anybody. A failure of the way there is told as it is.
pub(super) fn undone(error: Error) -> Error {
    match error {
        Error::Database(_) => Error::Io(io::Error::other("the database undid the transaction")),
        error => error,
    }
}

/// What the database itself said.
pub(super) fn said(error: &dyn DatabaseError) -> &dyn DatabaseError {
    error.try_downcast_ref::<Said>().map_or(error, |said| &*said.0)
}

/// The cause within an error of reading or writing.
pub(super) fn within(error: &io::Error) -> Option<&(dyn StdError + Send + Sync + 'static)> {
    let inner = error.get_ref()?;
    Some(inner.downcast_ref::<Shared>().map_or(inner, |shared| &*shared.0))
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Said {}

impl DatabaseError for Said {
    fn message(&self) -> &str {
        self.0.message()
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        self.0.code()
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn constraint(&self) -> Option<&str> {
        self.0.constraint()
    }

    fn kind(&self) -> ErrorKind {
        self.0.kind()
    }
}
