//! What runs tell in Redis Streams (<https://redis.io/docs/latest/develop/data-types/streams/>): a stream for
//! each run, whose entries have the events' ids. While the Redis is away nothing is kept, and nothing else
//! waits for it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use mc_client::deltas::{Deltas, IDS_PER_FENCE, RunEvent};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError, Script, ScriptInvocation,
};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::store::deltas::{AHEAD_MS, Batch, Limits, PACE_MS, Teller, is_over};
use crate::store::paging::PAGE_BYTES;
use crate::store::told::Told;
use crate::store::{Conflict, StoreError};

/// What `MC_STREAM_URL` can be.
const ALLOWED: &str = "allowed: redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER], or rediss:// for TLS; leave it unset to keep what runs tell in the database";

/// The channel on which instances tell each other which streams are longer.
const CHANNEL: &str = "wombat:told";

/// How long a connection and an answer may take: whoever waits for it is about to tell a reader.
const TIMEOUT: Duration = Duration::from_millis(1_000);

/// For how long nobody tries again after a connection failed.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long longer than what was told Redis knows where a run stands, in milliseconds: a week.
const STAND_KEPT: i64 = 7 * 24 * 3_600_000;

/// For how long Redis knows that a run is erased, in milliseconds: longer than any request takes.
const ERASED_KEPT: i64 = 3_600_000;

/// Leaves of a run's stream only that it is erased.
const ERASE: &str = "redis.call('DEL', KEYS[1], KEYS[2]) redis.call('HSET', KEYS[2], 'erased', '1') \
    return redis.call('PEXPIRE', KEYS[2], ARGV[1])";

/// How many entries are read at a time.
const CHUNK: usize = 256;

/// The address of a Redis, checked.
#[derive(Debug, Clone)]
pub struct StreamUrl(SecretString);

impl StreamUrl {
    /// Parses `MC_STREAM_URL`. The error says what is allowed, without the password.
    pub fn parse(url: &SecretString) -> Result<Self, String> {
        let text = url.expose_secret().trim();
        let scheme = text.split(':').next().unwrap_or_default();
        if !matches!(scheme, "redis" | "rediss") || Client::open(text).is_err() {
            return Err(ALLOWED.to_owned());
        }
        Ok(Self(text.to_owned().into()))
    }
}

/// The Redis. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None` cannot happen with a checked address; it counts as a Redis that is away.
    client: Option<Client>,
    link: Mutex<Link>,
    add: Script,
    erase: Script,
    is_away: AtomicBool,
    told: Told,
}

#[derive(Debug, Default)]
struct Link {
    open: Option<MultiplexedConnection>,
    /// No attempt before that.
    not_before: Option<Instant>,
}

/// What a Redis is asked.
enum Ask<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

impl Ask<'_> {
    async fn of<T: FromRedisValue>(
        &self,
        mut link: MultiplexedConnection,
    ) -> Result<T, RedisError> {
        match self {
            Self::Command(command) => command.query_async(&mut link).await,
            Self::Script(script) => script.invoke_async(&mut link).await,
        }
    }
}

/// The key of a run's stream. What is in braces decides where a cluster keeps it.
pub(crate) fn key(name: &str) -> String {
    let hash = Sha256::digest(name);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("wombat:{{{hash}}}:told")
}

/// Where a run stands with its stream.
fn stand_key(key: &str) -> String {
    format!("{key}:at")
}

fn away(_: RedisError) -> StoreError {
    StoreError::DeltasUnavailable("the Redis does not answer")
}

impl Streams {
    pub(crate) fn new(url: &StreamUrl, told: Told) -> Self {
        let client = Client::open(url.0.expose_secret()).ok();
        Self(Arc::new(Inner {
            client,
            link: Mutex::default(),
            add: Script::new(include_str!("add.lua")),
            erase: Script::new(ERASE),
            is_away: AtomicBool::new(false),
            told,
        }))
    }

    /// Appends events to a run's stream; the id of the newest. `noted` is one that was told before, as the
    /// database knows; 0 without one.
    pub(crate) async fn add(
        &self,
        name: &str,
        fence: i64,
        batch: &Batch,
        noted: i64,
        limits: Limits,
    ) -> Result<i64, StoreError> {
        let key = key(name);
        let mut call = self.0.add.prepare_invoke();
        // The database knows of later writes of the run, and says when all has expired.
        let kept = i64::try_from(limits.ttl.as_millis()).unwrap_or(i64::MAX / 4);
        let kept = kept.saturating_mul(2).saturating_add(60_000);
        call.key(&key).key(stand_key(&key)).arg(fence).arg(batch.first).arg(kept);
        call.arg(limits.max_bytes).arg(Utc::now().timestamp_millis());
        call.arg(PACE_MS).arg(AHEAD_MS).arg(IDS_PER_FENCE).arg(CHANNEL);
        call.arg(noted).arg(kept.saturating_add(STAND_KEPT));
        for event in &batch.events {
            call.arg(event);
        }
        let done: (String, i64) = self.asked(&Ask::Script(&call)).await?;
        match done {
            (said, last) if said == "stored" => {
                self.0.told.tell(&key);
                Ok(last)
            }
            (said, last_seq) if said == "seq_conflict" => {
                Err(Conflict::SeqConflict { last_seq }.into())
            }
            (said, _) if said == "erased" => Err(StoreError::NotFound("run")),
            (said, _) if said == "stale_fence" => Err(Conflict::StaleFence.into()),
            (said, _) if said == "too_many_deltas" => Err(StoreError::TooManyDeltas),
            (said, _) if said == "deltas_full" => {
                Err(StoreError::DeltasFull { max_bytes: limits.max_bytes })
            }
            _ => Err(StoreError::DeltasUnavailable("the Redis gave another answer than expected")),
        }
    }

    /// What a run has told after an id: at most `limit` events, and as many as an answer takes.
    pub(crate) async fn read(
        &self,
        run: &Teller,
        after: i64,
        limit: usize,
        ttl: Duration,
    ) -> Result<Deltas, StoreError> {
        let key = key(&run.name);
        let mut call = redis::cmd("HMGET");
        call.arg(stand_key(&key)).arg("last").arg("at").arg("lost");
        let stand: (Option<i64>, Option<i64>, Option<i64>) =
            self.asked(&Ask::Command(&call)).await?;
        let written = stand.1.and_then(DateTime::from_timestamp_millis).unwrap_or_default();
        let is_over = is_over(run.updated_at.max(written), ttl);
        let last_seq = stand.0.unwrap_or_default();
        let expired = is_over || stand.2.is_some();
        let mut found = Deltas { events: Vec::new(), last_seq, expired };
        let (mut size, mut after) = (0, after);
        let is_behind = after < last_seq;
        while !is_over && after < last_seq && found.events.len() < limit && size < PAGE_BYTES {
            let many = CHUNK.min(limit - found.events.len());
            let mut call = redis::cmd("XRANGE");
            call.arg(&key).arg(format!("{}-0", after + 1)).arg("+").arg("COUNT").arg(many);
            let entries: Vec<(String, Vec<(String, String)>)> =
                self.asked(&Ask::Command(&call)).await?;
            let is_last = entries.len() < many;
            for (id, fields) in entries {
                let id = id.split('-').next().and_then(|id| id.parse().ok()).unwrap_or_default();
                let text = fields.into_iter().next().map(|(_, text)| text).unwrap_or_default();
                size += text.len();
                after = id;
                let fields = serde_json::from_str(&text)?;
                found.events.push(RunEvent { id: Some(id), fields });
            }
            if is_last {
                break;
            }
        }
        // Its stream is gone before what the run writes besides.
        found.expired |= is_behind && found.events.is_empty();
        Ok(found)
    }

    /// Deletes the streams of runs that are erased, and where they stand. For a while nothing of them is taken any
    /// more: a write that had found its run before the erasure may still be on its way.
    pub(crate) async fn forget(&self, names: &[String]) -> Result<(), StoreError> {
        for name in names {
            let key = key(name);
            let mut call = self.0.erase.prepare_invoke();
            call.key(&key).key(stand_key(&key)).arg(ERASED_KEPT);
            let _done: i64 = self.asked(&Ask::Script(&call)).await?;
        }
        Ok(())
    }

    /// Hears of what is told by way of other instances, as long as it is polled.
    pub(crate) async fn follow_others(&self) -> Infallible {
        loop {
            if let Err(error) = self.follow().await {
                tracing::debug!(%error, "the channel of MC_STREAM_URL broke; listening again");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn follow(&self) -> Result<(), RedisError> {
        let Some(client) = &self.0.client else { return Ok(()) };
        let mut channel = client.get_async_pubsub().await?;
        channel.subscribe(CHANNEL).await?;
        let mut news = channel.into_on_message();
        while let Some(message) = news.next().await {
            self.0.told.tell(&message.get_payload::<String>()?);
        }
        Ok(())
    }

    /// Asks the Redis; once more where the connection was from before it went away.
    async fn asked<T: FromRedisValue>(&self, ask: &Ask<'_>) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            let (link, is_new) = match self.link().await {
                Ok(link) => link,
                Err(error) => return Err(self.note_away(&error.to_string(), error)),
            };
            match ask.of(link).await {
                Ok(answer) => {
                    if self.0.is_away.swap(false, Ordering::Relaxed) {
                        tracing::info!("the Redis of MC_STREAM_URL answers again");
                    }
                    return Ok(answer);
                }
                Err(error) => {
                    let is_broken = error.is_io_error() || error.is_unrecoverable_error();
                    if is_broken {
                        self.0.link.lock().unwrap_or_else(PoisonError::into_inner).open = None;
                    }
                    tries += 1;
                    if !is_broken || is_new || tries > 1 {
                        return Err(self.note_away(&error.to_string(), error));
                    }
                }
            }
        }
    }

    /// Says once that the Redis is away.
    fn note_away(&self, cause: &str, error: RedisError) -> StoreError {
        if !self.0.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                cause,
                "the Redis of MC_STREAM_URL does not answer; until it does, readers of runs get whole steps"
            );
        }
        away(error)
    }

    /// A connection, and whether it was made just now.
    async fn link(&self) -> Result<(MultiplexedConnection, bool), RedisError> {
        let failed = |why| RedisError::from((redis::ErrorKind::Io, why));
        {
            let link = self.0.link.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(open) = &link.open {
                return Ok((open.clone(), false));
            }
            if link.not_before.is_some_and(|at| at > Instant::now()) {
                return Err(failed("the connection failed a moment ago"));
            }
        }
        let client = self.0.client.as_ref().ok_or_else(|| failed("its address cannot be used"))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let made = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut link = self.0.link.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(made) => {
                *link = Link { open: Some(made.clone()), not_before: None };
                Ok((made, true))
            }
            Err(error) => {
                link.not_before = Some(Instant::now() + PAUSE);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_lease_shuts_out_an_older_one_before_it_says_anything() {
        let Some(redis) = test_support::redis::Redis::start() else { return };
        let url = StreamUrl::parse(&redis.url().into()).unwrap();
        let streams = Streams::new(&url, Told::default());
        let limits = Limits { ttl: Duration::from_secs(60), max_bytes: 1_000 };
        let batch = |first, events: &[&str]| {
            let events = events.iter().map(|text| format!("{{\"data\":\"{text}\"}}")).collect();
            Batch { first, events }
        };
        streams.add("run", 1, &batch(1_000_001, &["a"]), 0, limits).await.unwrap();
        // Whoever takes the run up asks for nothing, and then reads.
        let last = streams.add("run", 2, &batch(2_000_001, &[]), 0, limits).await.unwrap();
        assert_eq!(last, 1_000_001);
        let late = streams.add("run", 1, &batch(1_000_002, &["b"]), 0, limits).await;
        assert!(matches!(late, Err(StoreError::Conflict(Conflict::StaleFence))), "{late:?}");
        let other = streams.add("other run", 1, &batch(1_000_001, &["c"]), 0, limits).await;
        assert_eq!(other.unwrap(), 1_000_001);
        // What is on its way to an erased run, even by a newer lease, is not kept.
        streams.forget(&["run".to_owned(), "never".to_owned()]).await.unwrap();
        for fence in [1, 2, 3] {
            let late = batch(fence * 1_000_000 + 1, &["d"]);
            let late = streams.add("run", fence, &late, 0, limits).await;
            assert!(matches!(late, Err(StoreError::NotFound(_))), "{late:?}");
        }
        let other = streams.add("other run", 1, &batch(1_000_001, &["d"]), 0, limits).await;
        assert!(
            matches!(other, Err(StoreError::Conflict(Conflict::SeqConflict { .. }))),
            "{other:?}"
        );
    }

    #[test]
    fn an_address_is_a_rediss_and_is_never_repeated() {
        for good in ["redis://localhost", "redis://u:p@host:6380/2", " rediss://host/0"] {
            StreamUrl::parse(&good.into()).unwrap();
        }
        for wrong in
            ["", "localhost:6379", "http://h", "redis://", "redis://h:no", "redis+unix:///s"]
        {
            let why = StreamUrl::parse(&wrong.into()).unwrap_err();
            assert!(why.starts_with("allowed: redis://"), "{wrong}: {why}");
        }
    }
}
