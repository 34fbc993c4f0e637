//! A demo application beside Mission Control: schools that an agent can search. It shows how an
//! application's own endpoints check the agent token.

mod shortlist;
pub(crate) mod tools;

use std::sync::LazyLock;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::app::App;
use crate::auth::Tenant;
use crate::error::ApiError;
use crate::extract::{Body, Id};

/// The agents of the demo's workspace.
pub(crate) const ROLES: [&str; 3] = ["scout", "jarvis", "analyst"];

/// The most schools in one answer.
const MAX_LIMIT: usize = 50;

/// Invented schools.
static SCHOOLS: LazyLock<Vec<School>> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../data/schools.json")).unwrap_or_default()
});

/// A kind of school.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Primary,
    Secondary,
    Combined,
}

/// What a school is near to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Place {
    Beach,
    Park,
    City,
    River,
    Hills,
}

/// A school with all details.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct School {
    #[serde(flatten)]
    summary: Summary,
    description: String,
    contact: String,
}

/// A school as the search lists it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct Summary {
    id: String,
    name: String,
    level: Level,
    suburb: String,
    near: Vec<Place>,
    rating: f64,
    fees_per_year: u32,
    distance_to_beach_km: f64,
    programs: Vec<String>,
    /// How many students it has.
    enrolment: u32,
}

/// What to look for; everything that is given must hold.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Search {
    /// Words of the name, the description or the programs.
    query: Option<String>,
    level: Option<Level>,
    near: Option<Place>,
    suburb: Option<String>,
    /// 0 to 5.
    min_rating: Option<f64>,
    /// The most fees per year; 0 for schools without fees.
    max_fees: Option<u32>,
    /// 1 to 50, 10 when absent.
    limit: Option<usize>,
}

/// The schools that were found, the best rated first.
#[derive(Serialize, ToSchema)]
struct Found {
    schools: Vec<Summary>,
    total: usize,
}

#[derive(OpenApi)]
#[openapi(paths(search_schools, get_school_profile), info(title = "Schools", version = "1.0.0"))]
struct Document;

/// The application's endpoints.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/api/schools/search", post(search_schools))
        .route("/api/schools/{school_id}/profile", get(get_school_profile))
        .route("/openapi.json", get(openapi))
}

async fn openapi() -> Json<Value> {
    Json(serde_json::to_value(Document::openapi()).unwrap_or_else(|_| json!({})))
}

/// Search schools.
#[utoipa::path(
    post, path = "/api/schools/search", operation_id = "search_schools", request_body = Search,
    responses((status = 200, body = Found), (status = 400, description = "A field is wrong."))
)]
async fn search_schools(_tenant: Tenant, body: Body<Search>) -> Result<Json<Found>, ApiError> {
    let search = body.value;
    if search.min_rating.is_some_and(|rating| !(0.0..=5.0).contains(&rating)) {
        return Err(ApiError::field("min_rating", "must be from 0 to 5"));
    }
    let limit = search.limit.unwrap_or(10);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(ApiError::field("limit", "must be from 1 to 50"));
    }
    let mut found: Vec<&School> = SCHOOLS.iter().filter(|school| fits(school, &search)).collect();
    found.sort_by(|a, b| b.summary.rating.total_cmp(&a.summary.rating));
    let schools = found.iter().take(limit).map(|school| school.summary.clone()).collect();
    Ok(Json(Found { schools, total: found.len() }))
}

fn fits(school: &School, search: &Search) -> bool {
    let summary = &school.summary;
    let text = format!("{} {} {}", summary.name, school.description, summary.programs.join(" "))
        .to_lowercase();
    let words = search.query.as_deref().unwrap_or_default().to_lowercase();
    words.split_whitespace().all(|word| text.contains(word))
        && search.level.is_none_or(|level| level == summary.level)
        && search.near.is_none_or(|place| summary.near.contains(&place))
        && search.suburb.as_ref().is_none_or(|suburb| suburb.eq_ignore_ascii_case(&summary.suburb))
        && search.min_rating.is_none_or(|rating| summary.rating >= rating)
        && search.max_fees.is_none_or(|fees| summary.fees_per_year <= fees)
}

/// Everything about one school.
#[utoipa::path(
    get, path = "/api/schools/{school_id}/profile", operation_id = "get_school_profile",
    params(("school_id" = String, Path, description = "From the search.")),
    responses((status = 200, body = School), (status = 404, description = "No such school."))
)]
async fn get_school_profile(_tenant: Tenant, Id(school_id): Id) -> Result<Json<School>, ApiError> {
    let school = SCHOOLS.iter().find(|school| school.summary.id == school_id);
    school.cloned().map(Json).ok_or_else(|| ApiError::not_found("school"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_read_and_has_primary_schools_near_the_beach() {
        assert_eq!(SCHOOLS.len(), 40);
        let search =
            Search { level: Some(Level::Primary), near: Some(Place::Beach), ..Search::default() };
        assert!(SCHOOLS.iter().filter(|school| fits(school, &search)).count() >= 6);
    }
}
