"""Rules that need no database."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from wombat_mission_control import ContractError, Settings, TokenVerifier
from wombat_mission_control.cron import Cron
from wombat_mission_control.features.questions import written
from wombat_mission_control.features.schedule_times import read_times
from wombat_mission_control.jcs import canonical
from wombat_mission_control.jsonio import parse_object
from wombat_mission_control.mediatypes import media_type_of
from wombat_mission_control.mentions import mentioned_roles
from wombat_mission_control.paging import cursor, seq_of
from wombat_mission_control.rawjson import lost_number, raw_field
from wombat_mission_control.schemas import Condition

from .conftest import SECRET
from .tokens import token

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def test_the_algorithm_is_pinned_and_clocks_may_differ() -> None:
    verifier, now = TokenVerifier(Settings(SECRET)), int(time.time())
    assert verifier.verify(token()).user_id == "ann"
    assert verifier.verify(token(exp=now - 50)).role == "scout"
    for wrong in (
        token(algorithm="HS512", key=SECRET * 2), token(key="x" * 32), token(exp=now - 70), token(nbf=now + 70),
        token(aud="elsewhere"), token(iss="other"), token(sub="wombat:other"), token(type="user"), token(user_id=""), "", "a.b.c",
    ):
        with pytest.raises(ContractError) as refused:
            verifier.verify(wrong)
        assert refused.value.status == 401
    assert verifier.verify(token(on_behalf_of="ann")).speaks_for_user
    assert not verifier.verify(token(on_behalf_of="bob")).speaks_for_user
    with pytest.raises(ValueError, match="32 bytes"):
        Settings("short")
    with pytest.raises(ValueError, match="none"):
        Settings(SECRET, algorithm="none")
    with pytest.raises(ValueError, match="file_max_bytes"):
        Settings(SECRET, file_max_bytes=2**30)
    assert SECRET not in repr(Settings(SECRET, internal_token=SECRET))


@pytest.mark.parametrize(
    ("line", "start", "slots"),
    [
        # 02:30 is left out: due as the gap ends. Then it comes twice: due at the first.
        ("30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30"]),
        ("30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
        ("0 9 * * mon", "2026-03-23T07:59", ["2026-03-23T08:00", "2026-03-30T07:00"]),
        ("*/30 2 * * *", "2026-10-24T22:00", ["2026-10-25T00:00", "2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-28T23:00"]),
        ("0 12 13 * 5", "2026-11-12T00:00", ["2026-11-13T11:00", "2026-11-20T11:00"]),
        ("@hourly", "2026-06-01T00:30", ["2026-06-01T01:00"]),
    ],
)
def test_lines_of_cron(line: str, start: str, slots: list[str]) -> None:
    found = list(islice(Cron.parse(line).slots_from(BERLIN, at(start)), len(slots)))
    assert found == [at(slot) for slot in slots]


@pytest.mark.parametrize("line", ["", "* * * *", "60 * * * *", "0 0 30 2 *", "5-1 * * * *", "*/0 * * * *", "@often", "a * * * *"])
def test_what_is_no_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        Cron.parse(line)


def test_late_slots_are_caught_up_with() -> None:
    times = read_times(None, "*/2 * * * *", "UTC", None)
    first, now = at("2026-05-05T10:00"), at("2026-05-05T10:11")

    def due(catch_up: str, left: int | None = None) -> list[tuple[str, int]]:
        made, _ = times.due(first, now, catch_up, left)
        return [(one.slot.strftime("%M"), one.missed) for one in made]

    on_time = [("06", 0), ("08", 0), ("10", 0)]
    assert due("last") == [("04", 2), *on_time]
    assert due("skip") == on_time
    assert due("all") == [("00", 0), ("02", 0), ("04", 0), *on_time]
    assert due("all", 2) == [("00", 0), ("02", 0)]


def test_canonical_json_is_that_of_the_rfc() -> None:
    numbers = [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27, -0.0, 1e21, 1e-7, 123456789012345680000.0]
    assert canonical(numbers) == (
        "[333333333.3333333,1e+30,4.5,0.002,1e-27,0,1e+21,1e-7,123456789012345680000]"
    )
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\u00f6": 7}
    assert list(map(int, canonical(names)[1:-1].replace('"', "").replace(":", ",").split(",")[1::2])) == [2, 4, 6, 7, 1, 5, 3]
    with pytest.raises(ValueError, match="not exact"):
        canonical(2**53 + 1)


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b'{"a": NaN}', b'{"a": 1e999}', b'{"a": "\\ud800"}', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_a_400(body: bytes) -> None:
    with pytest.raises(ContractError) as refused:
        parse_object(body)
    assert (refused.value.status, refused.value.code) == (400, "malformed_json")


def test_arguments_keep_their_text() -> None:
    text = '{ "a": {"x": 1.10, "y": [1, 2]}, "arguments": {"n": 12345678901234567890.5} , "b": "}" }'
    assert raw_field(text, "arguments") == '{"n": 12345678901234567890.5}'
    assert lost_number(text) == "12345678901234567890.5"
    assert lost_number('{"a": [1.10, 1e2, 18446744073709551615]}') is None
    with pytest.raises(ValueError, match="twice"):
        raw_field('{"a": 1, "a": 2}', "a")


def test_conditions_do_not_fit_what_they_say_nothing_about() -> None:
    condition = Condition({"amount": {"lte": 50}, "card.country": {"in": ["DE", "FR"]}})
    assert condition.misfit({"amount": 5, "card": {"country": "DE"}}) is None
    for arguments in ({}, {"amount": 51, "card": {"country": "DE"}}, {"amount": "5", "card": {"country": "DE"}}, {"amount": 5, "card": 1}):
        assert condition.misfit(arguments) is not None
    assert Condition({"a": {"not": {"minimum": 5}}}).misfit({"a": "text"}) is not None
    for wrong in (7, {"a": {"format": "email"}}, {"a": {"$ref": "#"}}, {"": {}}, {"a": {"lte": "x"}}):
        with pytest.raises(ValueError):
            Condition(wrong)


def test_mentions_cursors_media_types_and_answers() -> None:
    assert mentioned_roles("@scout, (@analyst) me@scout `@code` it's `broken @b") == ["scout", "analyst", "b"]
    assert [seq_of(cursor(number)) for number in (1, 35, 36, 10**15)] == [1, 35, 36, 10**15]
    assert [seq_of(text) for text in ("", "c", "c-1", "c01", "C1", "cZ", "c1 ")] == [None] * 7
    assert media_type_of("text/plain", "a", b"\x89PNG\r\n\x1a\n...") == "image/png"
    assert media_type_of("image/png", "a", b"<!doctype html>") == "text/html"
    assert media_type_of("text/csv; charset=utf-8", "a", b"a,b\n") == "text/csv"
    assert written({"question": "?", "options": ["Red", "Blue"]}, "scout", "@scout: BLUE ") == "Blue"
    assert written({"question": "?", "schema": {"type": "integer"}}, "scout", "7") == 7
    with pytest.raises(ContractError, match="must be one of"):
        written({"question": "?", "options": ["Red", "Blue"]}, "scout", "green")
