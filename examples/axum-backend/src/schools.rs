//! The application itself: schools that people look for and visit. An agent may do what its user may.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use chrono::NaiveDate;
use mc_client::types::Page;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::App;
use crate::auth::Me;
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, require};
use crate::store::{Created, Paging};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Place {
    Beach,
    Park,
    River,
}

/// A school.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
struct School {
    id: &'static str,
    name: &'static str,
    near: Place,
    /// In a year.
    fees: u32,
}

const SCHOOLS: [School; 3] = [
    School { id: "sch_1", name: "Dune Street Primary", near: Place::Beach, fees: 0 },
    School { id: "sch_2", name: "Harbour Grammar", near: Place::River, fees: 18_500 },
    School { id: "sch_3", name: "Hillside High", near: Place::Park, fees: 1_200 },
];

/// What to look for; everything that is given must hold.
#[derive(Debug, Deserialize, ToSchema)]
struct Search {
    near: Option<Place>,
    /// In a year.
    max_fees: Option<u32>,
}

/// The schools that were found.
#[derive(Serialize, ToSchema)]
struct Found {
    schools: Vec<School>,
}

/// A visit to book.
#[derive(Debug, Deserialize, ToSchema)]
struct NewVisit {
    #[schema(format = Date, value_type = String)]
    day: NaiveDate,
    /// How many come.
    #[schema(minimum = 1, maximum = 20)]
    visitors: u32,
}

/// A booked visit.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Visit {
    id: String,
    school_id: String,
    #[schema(format = Date, value_type = String)]
    day: NaiveDate,
    visitors: u32,
}

/// The endpoints, described: each becomes a tool of the agent.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(book)).routes(routes!(visits))
}

/// Find schools.
#[utoipa::path(
    post, path = "/api/schools/search", operation_id = "search_schools", request_body = Search,
    responses((status = 200, body = Found))
)]
async fn search(_me: Me, body: Body<Search>) -> Json<Found> {
    let wanted = body.value;
    let fits = |school: &School| {
        wanted.near.is_none_or(|place| school.near == place)
            && wanted.max_fees.is_none_or(|fees| school.fees <= fees)
    };
    Json(Found { schools: SCHOOLS.into_iter().filter(fits).collect() })
}

/// Book a visit of a school for the user.
#[utoipa::path(
    post, path = "/api/schools/{school_id}/visits", operation_id = "book_visit",
    params(("school_id" = String, Path, description = "As the search gives it.")),
    request_body = NewVisit, responses((status = 201, body = Visit))
)]
async fn book(
    State(app): State<App>,
    me: Me,
    Id(school_id): Id,
    headers: HeaderMap,
    body: Body<NewVisit>,
) -> Result<Created<Visit>, ApiError> {
    if !SCHOOLS.iter().any(|school| school.id == school_id) {
        return Err(ApiError::not_found("school"));
    }
    let NewVisit { day, visitors } = body.value;
    if !(1..=20).contains(&visitors) {
        return Err(ApiError::invalid("visitors must be from 1 to 20"));
    }
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default());
    require(&[("Idempotency-Key", key)])?;
    let asked = json!({ "school_id": school_id, "body": body.raw });
    let visit = Visit { id: Uuid::new_v4().to_string(), school_id, day, visitors };
    Ok(app.store.visits.create(me.user_id(), key, &asked, visit)?)
}

/// The user's visits.
#[utoipa::path(
    get, path = "/api/schools/visits", operation_id = "list_visits",
    responses((status = 200, body = Page<Visit>))
)]
async fn visits(
    State(app): State<App>,
    me: Me,
    Params(paging): Params<Paging>,
) -> Result<Json<Page<Visit>>, ApiError> {
    app.store.visits.page(me.user_id(), &paging, false, |_| true).map(Json)
}
