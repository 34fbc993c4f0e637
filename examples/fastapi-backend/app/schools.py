"""The application itself: schools that people look for and visit. An agent may do what its user may."""

from datetime import date
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Path, Query, Response
from pydantic import BaseModel, Field

from .auth import Me
from .store import store

router = APIRouter(prefix="/api/schools", tags=["schools"])


class Level(str, Enum):
    primary = "primary"
    secondary = "secondary"
    combined = "combined"


class Near(BaseModel):
    place: Annotated[str, Field(description="A place, such as beach, park or river.")]
    max_km: Annotated[float, Field(gt=0, le=100)] = 5


class Search(BaseModel):
    level: Level | None = None
    near: Near | None = None
    max_fees: Annotated[int | None, Field(ge=0, description="In a year.")] = None


class Visitor(BaseModel):
    name: Annotated[str, Field(min_length=1)]
    children: Annotated[list[Annotated[int, Field(ge=3, le=19)]], Field(description="Their ages.")]


class Visit(BaseModel):
    day: date
    visitor: Visitor


class Section(str, Enum):
    programs = "programs"
    results = "results"


SCHOOLS: list[dict[str, Any]] = [
    {"id": "sch_1", "name": "Dune Street Primary", "level": "primary", "fees": 0,
     "near": {"beach": 0.4, "park": 1.1}, "programs": ["surf", "music"],
     "results": {"2024": 71, "2025": 74}},
    {"id": "sch_2", "name": "Harbour Grammar", "level": "combined", "fees": 18_500,
     "near": {"beach": 2.2, "river": 0.3}, "programs": ["rowing", "latin"],
     "results": {"2024": 93, "2025": 95}},
    {"id": "sch_3", "name": "Hillside High", "level": "secondary", "fees": 1_200,
     "near": {"park": 0.2}, "programs": ["robotics"], "results": {"2024": 80, "2025": 78}},
]  # fmt: skip


def find(school_id: str) -> dict[str, Any]:
    for school in SCHOOLS:
        if school["id"] == school_id:
            return school
    raise HTTPException(404, "there is no such school")


@router.post("/search", operation_id="search_schools")
def search(me: Me, wanted: Search) -> dict[str, Any]:
    """Find schools. Everything that is given must hold."""

    def fits(school: dict[str, Any]) -> bool:
        km = school["near"].get(wanted.near.place) if wanted.near else 0
        return (
            (wanted.level is None or school["level"] == wanted.level.value)
            and (wanted.max_fees is None or school["fees"] <= wanted.max_fees)
            and (wanted.near is None or (km is not None and km <= wanted.near.max_km))
        )

    found = [{key: school[key] for key in ("id", "name", "level", "fees")} for school in SCHOOLS
             if fits(school)]  # fmt: skip
    return {"schools": found}


@router.get("/{school_id}/profile", operation_id="school_profile")
def profile(
    me: Me,
    school_id: Annotated[str, Path(description="As the search gives it.")],
    include: Annotated[list[Section], Query(description="More than the basics.")] = [],
    year: Annotated[int | None, Query(ge=2020, le=2100, description="Of the results.")] = None,
) -> dict[str, Any]:
    """All that is known of a school."""
    school = find(school_id)
    answer = {key: school[key] for key in ("id", "name", "level", "fees", "near")}
    if Section.programs in include:
        answer["programs"] = school["programs"]
    if Section.results in include:
        results = school["results"]
        answer["results"] = results if year is None else {str(year): results.get(str(year))}
    return answer


@router.post("/{school_id}/visits", operation_id="book_visit", status_code=201)
def book(
    me: Me,
    school_id: str,
    visit: Visit,
    response: Response,
    idempotency_key: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> dict[str, Any]:
    """Book a visit of a school for the user."""
    find(school_id)
    request = visit.model_dump(mode="json")
    booked, replayed = store.create(
        me.user_id,
        "visit",
        {"school_id": school_id, **request, "idempotency_key": idempotency_key},
        lambda: {"school_id": school_id, **request},
    )
    if replayed:
        response.status_code = 200
        response.headers["Idempotent-Replayed"] = "true"
    return booked


@router.get("/visits", operation_id="list_visits")
def visits(me: Me) -> dict[str, Any]:
    """The user's visits."""
    return store.page(me.user_id, "visit", 200, None, {})
