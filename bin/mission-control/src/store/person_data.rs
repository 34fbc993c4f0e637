//! All that is kept of a user, row by row, as it is stored: for people who ask what is known about them.

use mc_client::owned_data::OwnedItem;
use serde_json::{Map, Value, json};
use sqlx::any::{AnyArguments, AnyRow, AnyTypeInfoKind};
use sqlx::{AnyConnection, Arguments as _, AssertSqlSafe, Column as _, Row, ValueRef as _};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::Store;
use super::audit::{self, Act, By};
use super::error::StoreError;
use super::owned_tables::{AUDIT, AUDIT_OF, OWNED, Owned};

/// How many rows are read at a time: some are large.
const ROWS: i64 = 32;

/// The table whose rows are read one at a time, as one may have megabytes.
const LARGE: &str = "run_artifacts";

/// How many items wait for their reader.
const AHEAD: usize = 16;

/// Tables of runs' parts that say themselves whose they are.
const OF_RUNS: [&str; 2] = ["feedback", LARGE];

/// Columns whose text is JSON.
const JSON: [&str; 20] = [
    "answer",
    "arguments",
    "asked_by",
    "attachments",
    "author",
    "body",
    "created_by",
    "data",
    "decided_by",
    "decision_body",
    "edited",
    "events",
    "extra",
    "fits",
    "labels",
    "metadata",
    "parameters",
    "payload",
    "response",
    "source",
];

/// Columns that hold nothing but what others hold, in another form.
const DERIVED: [&str; 6] = ["folded", "holder", "owner", "run_seq", "seq", "words"];

/// A value of a key, to go on after.
#[derive(Debug, Clone)]
enum Key {
    Number(i64),
    Text(String),
}

/// A value as JSON. What is neither text nor a number is left out.
fn value(row: &AnyRow, place: usize) -> Option<Value> {
    let kind = row.try_get_raw(place).ok().filter(|raw| !raw.is_null())?.type_info().kind();
    match kind {
        AnyTypeInfoKind::Text => row.try_get::<String, _>(place).ok().map(Value::from),
        AnyTypeInfoKind::SmallInt | AnyTypeInfoKind::Integer | AnyTypeInfoKind::BigInt => {
            row.try_get::<i64, _>(place).ok().map(Value::from)
        }
        AnyTypeInfoKind::Real | AnyTypeInfoKind::Double => {
            row.try_get::<f64, _>(place).ok().map(Value::from)
        }
        AnyTypeInfoKind::Bool => row.try_get::<bool, _>(place).ok().map(Value::from),
        AnyTypeInfoKind::Null | AnyTypeInfoKind::Blob => None,
    }
}

/// A row, without what is there for the database only.
fn item(row: &AnyRow) -> Value {
    let mut fields = Map::new();
    for column in row.columns() {
        let (name, place) = (column.name(), column.ordinal());
        let Some(value) = value(row, place).filter(|_| !DERIVED.contains(&name)) else { continue };
        let parsed = value.as_str().filter(|_| JSON.contains(&name));
        let parsed = parsed.and_then(|text| serde_json::from_str(text).ok());
        fields.insert(name.to_owned(), parsed.unwrap_or(value));
    }
    Value::Object(fields)
}

/// Where a row is among all of its table.
fn key_of(owned: &Owned, row: &AnyRow) -> Vec<Key> {
    let columns = owned.key.split(", ");
    let key = columns.map(|name| match row.try_get::<i64, _>(name) {
        Ok(number) => Key::Number(number),
        Err(_) => Key::Text(row.try_get(name).unwrap_or_default()),
    });
    key.collect()
}

/// The next rows of a user after a key.
async fn next(
    reader: &mut AnyConnection,
    owned: &Owned,
    user_id: &str,
    after: &[Key],
) -> Result<Vec<AnyRow>, StoreError> {
    let Owned { table, key, whose, .. } = owned;
    let mut arguments = AnyArguments::default();
    let unbindable = sqlx::Error::Encode;
    arguments.add(user_id).map_err(unbindable)?;
    for key in after {
        match key {
            Key::Number(number) => arguments.add(*number).map_err(unbindable)?,
            Key::Text(text) => arguments.add(text.clone()).map_err(unbindable)?,
        }
    }
    let places: Vec<_> = (2..2 + after.len()).map(|place| format!("${place}")).collect();
    let further = match places.is_empty() {
        true => String::new(),
        false => format!(" AND ({key}) > ({})", places.join(", ")),
    };
    let run = match *whose == super::owned_tables::OF_RUN || OF_RUNS.contains(table) {
        true => ", (SELECT run_key FROM runs r WHERE r.seq = run_seq) AS run_key",
        false => "",
    };
    let rows = if *table == LARGE { 1 } else { ROWS };
    let text = format!(
        "SELECT t.*{run} FROM {table} t WHERE {whose}{further} ORDER BY {key} LIMIT {rows}"
    );
    Ok(sqlx::query_with(AssertSqlSafe(text), arguments).fetch_all(reader).await?)
}

impl Store {
    /// Records that a user's data is given out.
    pub async fn record_export(&self, user_id: &str, by: By<'_>) -> Result<(), StoreError> {
        self.record(&Act::new(by, "data.exported").of(user_id)).await?;
        Ok(())
    }

    /// Tells each item of a user, as long as somebody listens.
    async fn tell_owned(
        &self,
        user_id: &str,
        told: &Sender<Result<OwnedItem, StoreError>>,
    ) -> Result<(), StoreError> {
        let tell = async |kind: &str, item| {
            let item = OwnedItem { kind: kind.to_owned(), item };
            // Nobody listens any more.
            told.send(Ok(item)).await.map_err(|_| StoreError::Interrupted)
        };
        for owned in &OWNED {
            let Some(kind) = owned.kind else { continue };
            let mut after = Vec::new();
            loop {
                if owned.table == LARGE {
                    // No further one is read before the reader has taken the last.
                    told.reserve_many(AHEAD).await.map_err(|_| StoreError::Interrupted)?;
                }
                let rows = next(&mut *self.reader.acquire().await?, owned, user_id, &after).await?;
                let Some(last) = rows.last() else { break };
                after = key_of(owned, last);
                for row in &rows {
                    tell(kind, item(row)).await?;
                }
            }
        }
        let mut after = 0;
        loop {
            let entries = audit::entries_where(&self.reader, AUDIT_OF, user_id, after).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = last.seq;
            for mut entry in entries {
                // Whom else it concerns, and who else acted, is theirs.
                entry.user_id = entry.user_id.filter(|user| user == user_id);
                entry.actor_user_id = entry.actor_user_id.filter(|user| user == user_id);
                tell(AUDIT, json!(entry)).await?;
            }
        }
    }

    /// All items of a user, as they are read. The last one is an error where not all could be.
    pub fn owned(&self, user_id: String) -> Receiver<Result<OwnedItem, StoreError>> {
        let (lines, told) = mpsc::channel(AHEAD);
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.tell_owned(&user_id, &lines).await {
                let _gone = lines.send(Err(error)).await;
            }
        });
        told
    }
}
