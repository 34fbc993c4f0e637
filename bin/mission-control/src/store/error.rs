//! Why the database did not do what it was asked to. Nothing here knows HTTP: `crate::error` says
//! what a caller of the API is answered.

use std::time::Duration;

use mc_client::approval_rules::VoidReason;
use mc_client::budgets::BudgetRefusal;
use mc_client::memories::MemoryScope;
use mc_client::runs::RunStep;
use serde_json::Value;

use super::file;
use super::postgres::session::takes_no_writes;
use super::schedule_times::Unfit;

/// How long to wait before the database is asked again after it was busy.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a read or a write failed. Nothing of a failed write stays.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object, or it is another user's: which of both is not said.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The object is there, and the caller may not do this with it.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// A field cannot have this value beside what is stored already.
    #[error("{field} {why}")]
    Invalid {
        /// The field's name in the request.
        field: &'static str,
        /// What is wrong with it, as the end of a sentence that begins with the name.
        why: &'static str,
    },
    /// A schedule that cannot be kept as it was asked for.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What a person says does not fit what was asked.
    #[error("{}: {}", .what.sentence(), .errors.join("; "))]
    Mismatch {
        /// What does not fit.
        what: Misfit,
        /// Why not, each with its place.
        errors: Vec<String>,
    },
    /// The idempotency key belongs to a create with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused {
        /// The answer to that create.
        original: Value,
    },
    /// The write conflicts with what is stored.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A budget does not cover the reservation.
    #[error("{}", used_up(.0))]
    BudgetExceeded(Box<BudgetRefusal>),
    /// A task that did the work has failed: what it has begun is taken up again.
    #[error("this was interrupted, and is taken up again; repeat the call to learn how it ends")]
    Interrupted,
    /// The data of the token's user was erased after the token was issued.
    #[error(
        "the agent token was issued before the data of its user was erased: what began before ends; begin anew with another token"
    )]
    TokenErased {
        /// How long ago that was.
        age: Duration,
    },
    /// A user has had too many acts recorded in the audit log.
    #[error("too many acts of the daemon were recorded for this user; retry later")]
    TooManyActs {
        /// When there is room again.
        retry_after: Duration,
    },
    /// A run told more often than it may.
    #[error("too many deltas of this run: 20 calls a second at most; retry later")]
    TooManyDeltas,
    /// A run told more than is kept.
    #[error(
        "the run has told more than is kept of it, {max_bytes} bytes (MC_DELTAS_MAX_BYTES): its readers get whole steps from now on"
    )]
    DeltasFull {
        /// How much is kept.
        max_bytes: usize,
    },
    /// What runs tell is kept elsewhere, and that does not answer.
    #[error("what runs tell cannot be kept or read at present: {0} (MC_STREAM_URL); retry later")]
    DeltasUnavailable(&'static str),
    /// There is no such file any more, or there never was, or it is another user's.
    #[error("there is no such file")]
    FileNotFound {
        /// Its id.
        file_id: String,
    },
    /// A file is larger than is kept.
    #[error("the file is larger than is kept, {max_bytes} bytes (MC_FILE_MAX_BYTES)")]
    FileTooLarge {
        /// How large one may be.
        max_bytes: u64,
    },
    /// The user's files take all the room there is for them.
    #[error(
        "the user's files have {used_bytes} bytes by now, and may have {quota_bytes} with this one (MC_FILES_QUOTA_BYTES): delete some"
    )]
    QuotaExceeded {
        /// How much they may have.
        quota_bytes: u64,
        /// How much they have.
        used_bytes: u64,
    },
    /// There is no such long result any more, or there never was, or it is another user's.
    #[error("there is no such result")]
    ArtifactNotFound,
    /// A long result is larger than is kept.
    #[error("the result is larger than is kept, {max_bytes} bytes (MC_ARTIFACT_MAX_BYTES)")]
    ArtifactTooLarge {
        /// How large one may be.
        max_bytes: u64,
    },
    /// The user's long results take all the room there is for them.
    #[error(
        "the user's long results have {used_bytes} bytes by now, and may have {quota_bytes} with this one (MC_ARTIFACTS_QUOTA_BYTES)"
    )]
    ArtifactQuota {
        /// How much they may have.
        quota_bytes: u64,
        /// How much they have.
        used_bytes: u64,
    },
    /// A text that this database cannot store; others may.
    #[error("{0}")]
    Unstorable(&'static str),
    /// Locked, full, or not reachable in time: nothing was written, and a retry may succeed.
    #[error("{}; retry later", unavailable(source))]
    Unavailable {
        /// When to retry.
        retry_after: Duration,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The server takes no writes at present.
    #[error(
        "the database is read-only at present: its server is a standby, or read-only by default; retry later"
    )]
    ReadOnly {
        /// When to retry.
        retry_after: Duration,
    },
    /// The database role lost a right that it had at start.
    #[error(
        "the database denies a privilege that this backend needs; the log of the backend says which"
    )]
    Forbidden {
        /// When to retry.
        retry_after: Duration,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The file of the database cannot be written at present.
    #[error("the database cannot be written: {why}")]
    Unwritable {
        /// Why, and what helps.
        why: &'static str,
        /// When to retry.
        retry_after: Duration,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The file of the database cannot be used, with its name.
    #[error("{0}")]
    File(String),
    /// Any other failure of the database.
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    /// An object that could not be written as JSON.
    #[error("an object could not be written as JSON")]
    Encode(#[from] serde_json::Error),
}

impl StoreError {
    /// Whether the database cannot be used now, by whatever call.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::ReadOnly { .. } | Self::Unwritable { .. })
    }
}

/// What does not fit what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misfit {
    /// The answer to a question.
    Answer,
    /// The arguments of a call.
    Arguments,
}

impl Misfit {
    fn sentence(self) -> &'static str {
        match self {
            Self::Answer => "that does not answer what was asked",
            Self::Arguments => "the arguments do not fit",
        }
    }
}

/// What a write conflicts with.
#[derive(Debug, thiserror::Error)]
pub enum Conflict {
    /// A delivered notification cannot be queued again.
    #[error("the notification was delivered already")]
    AlreadyDelivered,
    /// A person decides about a tool request once.
    #[error("the tool request was decided already: {status}")]
    AlreadyDecided {
        /// What was decided.
        status: String,
    },
    /// A user has as many standing rules as one may have.
    #[error("there are {most} approval rules in force (MC_RULES_PER_USER): revoke one first")]
    TooManyRules {
        /// How many one may have.
        most: u32,
    },
    /// A user has as many active schedules as one may have.
    #[error("there are {most} active schedules: delete, pause or end one first")]
    TooManySchedules {
        /// How many one may have.
        most: u32,
    },
    /// A standing rule does not hold, or not any more.
    #[error("the approval rule does not hold: {}", why_void(*.reason))]
    RuleVoid {
        /// Why.
        reason: VoidReason,
    },
    /// A user, a task or a tenant has as many memories as one may have.
    #[error("this {} has {most} memories already, the most that it may have: delete some first", .scope.as_str())]
    MemoryFull {
        /// Whose they are.
        scope: MemoryScope,
        /// How many there may be.
        most: u32,
    },
    /// Another memory of the same owner says the same.
    #[error("another memory says the same already")]
    MemoryExists {
        /// That memory.
        id: String,
    },
    /// A completed run stays completed.
    #[error("{why}")]
    RunFinished {
        /// What was asked of it in vain.
        why: &'static str,
        /// Its status.
        status: String,
    },
    /// Nobody needs to decide about the tool calls of a cancelled run.
    #[error("the run was cancelled; its tool requests need no decision")]
    RunCancelled,
    /// A run's key is one role's only; who asks for all roles must name one.
    #[error("several roles have a run with this key: name one, ?role={}", .roles.join(" or ?role="))]
    RunAmbiguous {
        /// The roles.
        roles: Vec<String>,
    },
    /// A run keeps the session and the task that it was begun with.
    #[error("the run exists with a different {field}")]
    RunConflict {
        /// `session_key` or `task_id`.
        field: &'static str,
        /// The run's own.
        known: String,
    },
    /// A step is written once.
    #[error("step {} of the run exists with different content", .0.index)]
    StepExists(Box<RunStep>),
    /// The lease under which the write was made is another's by now.
    #[error("the session lease is not valid any more: somebody else holds it, or it was released")]
    StaleFence,
    /// Another event of the run has this id, or a newer one is there.
    #[error(
        "another event has this id, or a newer one is stored already: the newest is {last_seq}"
    )]
    SeqConflict {
        /// The newest event's id.
        last_seq: i64,
    },
    /// Somebody else holds the session's lease.
    #[error(
        "the session lease is held by somebody else; retry after the time in the Retry-After header"
    )]
    SessionBusy {
        /// Who holds it.
        holder: String,
        /// When to ask again.
        retry_after: Duration,
    },
}

impl From<sqlx::Error> for StoreError {
    fn from(source: sqlx::Error) -> Self {
        if let Some(why) = file::why(&source) {
            return Self::Unwritable { why, retry_after: RETRY_AFTER, source };
        }
        if takes_no_writes(&source) {
            return Self::ReadOnly { retry_after: RETRY_AFTER };
        }
        let is_busy = match &source {
            // What is no answer of PostgreSQL's comes from something between, which may reach a server later.
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => true,
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                if let Some(why) = unstorable(&code) {
                    return Self::Unstorable(why);
                }
                match &*code {
                    "42501" => return Self::Forbidden { retry_after: RETRY_AFTER, source },
                    code => is_busy(code),
                }
            }
            _ => false,
        };
        match is_busy {
            true => Self::Unavailable { retry_after: RETRY_AFTER, source },
            false => Self::Database(source),
        }
    }
}

/// Which budget is used up.
fn used_up(refusal: &BudgetRefusal) -> String {
    match refusal.budget.as_ref().map(|budget| &budget.scope) {
        Some(scope) if scope.tenant_id.is_some() || scope.role.is_some() => {
            format!("the budget of {scope} is used up")
        }
        Some(_) | None => "the user's budget is used up".to_owned(),
    }
}

/// Why a rule does not hold.
fn why_void(reason: VoidReason) -> &'static str {
    match reason {
        VoidReason::Expired => "its time is over",
        VoidReason::Revoked => "it was taken back",
        VoidReason::UsedUp => "it was used as often as it may be",
        VoidReason::Author => "whoever wrote it may not decide for this user any more",
        VoidReason::Schema => "the tool takes other arguments than when it was written",
    }
}

/// Why a retry may succeed.
fn unavailable(source: &sqlx::Error) -> &'static str {
    match source {
        sqlx::Error::PoolTimedOut => {
            "no connection to the database was free in time: it is busy, or does not answer"
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
            "the database does not answer, or ended the connection"
        }
        _ => "the database is busy or full",
    }
}

/// Whether a code of PostgreSQL says that a retry may succeed: locked, full, gone, or an error of the
/// disk.
fn is_busy(code: &str) -> bool {
    // By class: connection, transaction rollback, resources, operator, system; then single ones:
    // lock_not_available, and the timeouts of idle and of all transactions.
    ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
        || matches!(code, "55P03" | "25P03" | "25P04")
}

/// What PostgreSQL cannot store and SQLite can.
fn unstorable(code: &str) -> Option<&'static str> {
    match code {
        "22021" => Some("a text holds the character U+0000, which this database cannot store"),
        "54000" => Some("a key or a name is too long for this database's index"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_succeed_later_is_told_from_what_never_will() {
        for code in ["08006", "40001", "53100", "57P01", "55P03"] {
            assert!(is_busy(code), "{code}");
        }
        for code in ["", "1", "19", "2067", "23505", "42P01", "22021"] {
            assert!(!is_busy(code), "{code}");
        }
        let busy = StoreError::from(sqlx::Error::PoolTimedOut);
        assert!(matches!(busy, StoreError::Unavailable { .. }), "{busy:?}");
        let eof = sqlx::Error::Protocol("unexpected response".to_owned());
        let between = StoreError::from(eof);
        assert!(matches!(between, StoreError::Unavailable { .. }), "{between:?}");
        assert!(between.to_string().contains("does not answer"), "{between}");
        let wrong = StoreError::from(sqlx::Error::RowNotFound);
        assert!(matches!(wrong, StoreError::Database(_)), "{wrong:?}");
    }
}
