//! What runs tell while they work.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use mc_client::deltas::{
    Deltas, DeltasNote, IDS_PER_FENCE, MAX_BYTES, MAX_EVENTS, PostDeltas, RunEvent,
};
use mc_client::idempotency::canonical_json;
use serde_json::Value;

use super::runs::{check_key, of_role};
use crate::app::App;
use crate::auth::{Tenant, Writer};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, number};
use crate::store::Conflict;
use crate::store::deltas::Batch;

/// The largest id: the largest whole number that all languages read exactly.
const MAX_ID: i64 = 9_007_199_254_740_991;

/// The most events of one answer, and how many there are without `limit`.
const MAX_LIMIT: u32 = 1_000;
const DEFAULT_LIMIT: u32 = 256;

pub(super) async fn post(
    State(app): State<App>,
    writer: Writer,
    Id(run_key): Id,
    Query(params): Params,
    body: Body<PostDeltas, MAX_BYTES>,
) -> Result<Json<DeltasNote>, ApiError> {
    check_key(&run_key)?;
    if matches!(writer.tenant, Tenant::Person(_)) {
        return Err(ApiError::forbidden("only the agent that runs it tells what a run says"));
    }
    let fence = writer.fence.as_ref();
    let fence = fence.ok_or_else(|| ApiError::field("X-Session-Fence", "is required"))?;
    let PostDeltas { fence: named, seq, events } = body.value;
    let batch = batch(seq, events)?;
    if named != fence.fence {
        return Err(Conflict::StaleFence.into());
    }
    check_ids(&batch, named)?;
    let scope = of_role(writer.scope(), &params)?;
    Ok(Json(app.deltas.add(scope, &run_key, fence, &batch).await?))
}

/// The events of a body, whose ids follow each other from `seq`.
fn batch(seq: i64, events: Vec<RunEvent>) -> Result<Batch, ApiError> {
    if events.len() > MAX_EVENTS {
        return Err(ApiError::field("events", "are more than 256"));
    }
    let many = i64::try_from(events.len()).unwrap_or(MAX_ID);
    if !(1..=MAX_ID - many).contains(&seq) {
        return Err(ApiError::field("seq", "must be a whole number from 1"));
    }
    let mut texts = Vec::with_capacity(events.len());
    for (id, event) in (seq..).zip(events) {
        if event.id.is_some_and(|named| named != id) {
            let why = "must have the ids that follow from seq, or none";
            return Err(ApiError::field("events", why));
        }
        texts.push(canonical_json(&Value::Object(event.fields)));
    }
    Ok(Batch { first: seq, events: texts })
}

/// Refuses events whose ids are not those of their lease: larger ones would shut out all that follow.
fn check_ids(batch: &Batch, fence: i64) -> Result<(), ApiError> {
    let before = fence.saturating_mul(IDS_PER_FENCE);
    let own = before.saturating_add(1)..=before.saturating_add(IDS_PER_FENCE);
    match batch.numbered().map(|(id, _)| id).find(|id| !own.contains(id)) {
        None => Ok(()),
        Some(_) => {
            Err(ApiError::field("seq", "must be an id of the lease, from fence * 1000000 + 1 on"))
        }
    }
}

/// The id after which a reader wants to go on; 0 without one.
fn after(params: &HashMap<String, String>) -> Result<i64, ApiError> {
    let Some(text) = params.get("after") else { return Ok(0) };
    let after = text.parse::<i64>().ok().filter(|after| (0..=MAX_ID).contains(after));
    after.ok_or_else(|| ApiError::field("after", "must be a whole number from 0"))
}

pub(super) async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(run_key): Id,
    Query(params): Params,
) -> Result<Json<Deltas>, ApiError> {
    let after = after(&params)?;
    let limit = number(&params, "limit", DEFAULT_LIMIT, MAX_LIMIT)?;
    if limit == 0 {
        return Err(ApiError::field("limit", "must be at least 1"));
    }
    let scope = of_role(tenant.scope(), &params)?;
    let run = app.deltas.find(scope, &run_key).await?;
    Ok(Json(app.deltas.read(&run, after, limit as usize).await?))
}
