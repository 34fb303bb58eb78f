import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evcli.domain.durations import parse_duration
from evcli.domain.instants import canonical, parse_instant, parse_rfc3339
from evcli.errors import BadTime, Refused

Local = Callable[[datetime], datetime]
MICROSECOND = timedelta(microseconds=1)
CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
NOON = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)  # a Monday

# Each with a moment near which its clocks change: by an hour, half an hour, at midnight, by a whole day.
CHANGES = {
    "Europe/Berlin": "2026-03-29T02:30",
    "America/New_York": "2026-11-01T01:30",
    "Australia/Lord_Howe": "2026-04-05T01:45",
    "America/Sao_Paulo": "2018-11-04T00:30",
    "Asia/Beirut": "2022-03-27T00:00",
    "America/Havana": "2026-11-01T00:30",
    "Pacific/Apia": "2011-12-30T12:00",
    "Africa/Monrovia": "1972-01-07T00:20",
}


def moment_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def in_zone(key: str) -> Local:
    try:
        zone = ZoneInfo(key)
    except ZoneInfoNotFoundError:
        pytest.skip("this machine has no time zone database")
    return lambda moment: moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def in_the_far_west(moment: datetime) -> datetime:
    zone = timezone(timedelta(hours=-12))
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


def instant(text: str, *, now: datetime = NOON, local: Local = in_utc, end: bool = False) -> str:
    return parse_instant(text, now=now, local=local, end=end)


def wall_clock(text: str, local: Local) -> datetime:
    return local(moment_of(text)).replace(tzinfo=None)


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
aware = st.datetimes(moment_of("0001-01-03"), moment_of("9999-12-29"), timezones=offsets)
time_like = st.text("0123456789-:+.,TtZz @/wdhmsagonyeru", max_size=40)


# canonical


@given(aware)
def test_a_canonical_instant_is_27_characters_and_reads_back_as_the_same_moment(moment: datetime) -> None:
    text = canonical(moment)
    assert CANONICAL.fullmatch(text)
    assert moment_of(text) == moment
    assert parse_rfc3339(text) == text
    assert instant(text) == instant(text, end=True) == text


@given(aware, aware)
def test_canonical_instants_compare_as_the_moments_do(one: datetime, other: datetime) -> None:
    assert (canonical(one) < canonical(other)) == (one < other)
    assert (canonical(one) == canonical(other)) == (one == other)


def test_a_year_before_1000_keeps_four_digits() -> None:
    assert canonical(datetime(7, 1, 2, tzinfo=UTC)) == "0007-01-02T00:00:00.000000Z"


# RFC 3339 in data


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23t08:00:00z", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23 08:00:00.5Z", "2026-11-23T08:00:00.500000Z"),
        ("2026-11-23T08:00:00.1234569Z", "2026-11-23T08:00:00.123456Z"),
        ("2026-11-23T08:00:00." + "9" * 5000 + "Z", "2026-11-23T08:00:00.999999Z"),
        ("2026-11-23T00:30:00+01:00", "2026-11-22T23:30:00.000000Z"),
        ("2026-11-23T23:30:00-00:45", "2026-11-24T00:15:00.000000Z"),
        ("2026-11-23T08:00:00-00:00", "2026-11-23T08:00:00.000000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_a_full_timestamp_becomes_canonical(text: str, expected: str) -> None:
    assert parse_rfc3339(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-23",
        "2026-11-23T08:00Z",
        "2026-11-23T08:00:00",
        "2026-11-23T08:00:00+0100",
        "2026-11-23T08:00:00+01",
        "2026-11-23T08:00:00.Z",
        "2026-11-23T08:00:00,5Z",
        "2026-11-23T08:00:00 Z",
        "2026-11-23T08:00:00Z\n",
        " 2026-11-23T08:00:00Z",
        "20261123T080000Z",
        "2026-W48-1T08:00:00Z",
        "2026-11-23T08:00:60Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T08:60:00Z",
        "2026-11-23T08:00:00+24:00",
        "2026-11-23T08:00:00+01:60",
        "2026-02-30T08:00:00Z",
        "2026-13-01T08:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\uff12026-11-23T08:00:00Z",
    ],
)
def test_any_other_time_in_data_is_refused_with_what_is_wanted(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_rfc3339(text)
    assert refusal.value.exit_code == 65
    assert repr(text) in refusal.value.message
    assert "RFC 3339" in refusal.value.hint


def test_a_refusal_quotes_no_more_than_the_beginning_of_a_long_text() -> None:
    with pytest.raises(Refused) as refusal:
        parse_rfc3339("2" * 1_000_000)
    assert len(str(refusal.value)) < 250


@given(
    st.one_of(
        time_like,
        st.from_regex(r"\d{4}-[01]\d-[0-3]\d[Tt ][0-2]\d:[0-5]\d:[0-6]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", fullmatch=True),
    )
)
def test_what_is_read_as_rfc3339_is_what_datetime_reads(text: str) -> None:
    try:
        read = parse_rfc3339(text)
    except Refused:
        return
    assert moment_of(read) == datetime.fromisoformat(text.upper())


# Options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23t08:00z", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23T08:00:00.1234569Z", "2026-11-23T08:00:00.123456Z"),
        ("2026-11-23T08:00+01:00", "2026-11-23T07:00:00.000000Z"),
        ("2026-11-23 08:00-0130", "2026-11-23T09:30:00.000000Z"),
        ("2026-11-23T08:00", "2026-11-23T08:00:00.000000Z"),
        ("2026-11-23 08:00:30.5", "2026-11-23T08:00:30.500000Z"),
        ("20261123T080000Z", "2026-11-23T08:00:00.000000Z"),
        ("20261123T080000.25+0100", "2026-11-23T07:00:00.250000Z"),
        ("20261123T0800", "2026-11-23T08:00:00.000000Z"),
        ("@1795420800", "2026-11-23T08:00:00.000000Z"),
        ("@1795420800.25", "2026-11-23T08:00:00.250000Z"),
        ("@0.0000019", "1970-01-01T00:00:00.000001Z"),
        ("now", "2026-11-23T12:00:00.250000Z"),
        (" NOW\t", "2026-11-23T12:00:00.250000Z"),
        ("2h", "2026-11-23T10:00:00.250000Z"),
        ("90s", "2026-11-23T11:58:30.250000Z"),
        ("15m", "2026-11-23T11:45:00.250000Z"),
        ("3d", "2026-11-20T12:00:00.250000Z"),
        ("1w", "2026-11-16T12:00:00.250000Z"),
        ("now-2h", "2026-11-23T10:00:00.250000Z"),
        ("now - 90s", "2026-11-23T11:58:30.250000Z"),
        ("2h ago", "2026-11-23T10:00:00.250000Z"),
        ("2 Hours  Ago", "2026-11-23T10:00:00.250000Z"),
        ("1 day ago", "2026-11-22T12:00:00.250000Z"),
        ("5 minutes ago", "2026-11-23T11:55:00.250000Z"),
        ("yesterday 15:00", "2026-11-22T15:00:00.000000Z"),
        ("Today 09:30:15", "2026-11-23T09:30:15.000000Z"),
        ("last Monday 15:00", "2026-11-16T15:00:00.000000Z"),
        ("last sunday 23:59:59.5", "2026-11-22T23:59:59.500000Z"),
    ],
)
def test_a_moment_is_the_same_as_a_beginning_and_as_an_end(text: str, expected: str) -> None:
    assert instant(text) == instant(text, end=True) == expected


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-23", "2026-11-23", "2026-11-23"),
        ("20261123", "2026-11-23", "2026-11-23"),
        ("2026-11", "2026-11-01", "2026-11-30"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("9999-12", "9999-12-01", "9999-12-31"),
        ("0001-01", "0001-01-01", "0001-01-31"),
        ("today", "2026-11-23", "2026-11-23"),
        ("yesterday", "2026-11-22", "2026-11-22"),
        ("last monday", "2026-11-16", "2026-11-16"),
        ("last tuesday", "2026-11-17", "2026-11-17"),
        ("last sunday", "2026-11-22", "2026-11-22"),
    ],
)
def test_a_day_or_month_alone_is_its_first_or_its_last_microsecond(text: str, first: str, last: str) -> None:
    assert instant(text) == f"{first}T00:00:00.000000Z"
    assert instant(text, end=True) == f"{last}T23:59:59.999999Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "11/12/2026",
        "2026",
        "202611",
        "2026-1-2",
        "2026-02-30",
        "2025-02-29T08:00",
        "20260230",
        "2026-13",
        "2026-00",
        "0000-01-01",
        "0001-01-01T00:00+01:00",
        "9999-12-31T23:59-01:00",
        "2026-11-23Z",
        "2026-11-23T08",
        "2026-11-23T8:00",
        "2026-11-23T08:00:60",
        "2026-11-23T24:00",
        "2026-11-23T08:00:00+24:00",
        "2026-11-23T08:00 +01:00",
        "20261123T08:00",
        "2026-11-23T0800",
        "2026-W48-1",
        "2026-327",
        "08:00",
        "23 Nov 2026",
        "november",
        "tomorrow",
        "monday",
        "last week",
        "now 15:00",
        "now+2h",
        "now-2h ago",
        "today 25:00",
        "yesterday 15:00Z",
        "-2h",
        "1.5h",
        "1h30m",
        "2 months ago",
        "1y",
        "999999999w",
        "2000 weeks ag",
        "@",
        "@-1",
        "@1795420800000",
        "1795420800",
        "\uff12h",
        "now\x00",
        "1 wee\u212a ago",
        "\udc80",
    ],
)
def test_anything_else_is_a_bad_time_with_three_examples(text: str) -> None:
    for end in (False, True):
        with pytest.raises(BadTime) as refusal:
            instant(text, end=end)
        assert refusal.value.exit_code == 2
        assert repr(text) in refusal.value.message
        for shown in ("2026-11-23T08:00", "yesterday 15:00", "2h"):
            assert shown in refusal.value.hint
            instant(shown, end=end)


@given(
    text=st.one_of(st.text(), time_like, st.text("0123456789").map("{}h".format)),
    end=st.booleans(),
    now=aware,
)
@example(text="2026-02-29", end=True, now=NOON)
@example(text="yesterday", end=False, now=datetime(1, 1, 1, tzinfo=UTC))
@example(text="9999-12-31", end=True, now=datetime(9999, 12, 31, tzinfo=UTC))
def test_any_text_is_a_canonical_instant_or_a_bad_time(text: str, end: bool, now: datetime) -> None:  # noqa: FBT001
    for local in (in_utc, in_the_far_west, datetime.astimezone):
        with suppress(BadTime):
            assert CANONICAL.fullmatch(instant(text, now=now, local=local, end=end))


@given(st.datetimes(), st.sampled_from(["T", " "]), st.sampled_from(["minutes", "seconds", "microseconds"]))
def test_a_time_without_a_zone_is_what_datetime_reads(wall: datetime, between: str, precision: str) -> None:
    text = wall.isoformat(between, precision)
    assert instant(text) == canonical(datetime.fromisoformat(text).replace(tzinfo=UTC))


@given(time_like)
def test_where_datetime_reads_a_text_too_both_agree(text: str) -> None:
    try:
        read, plain = instant(text), datetime.fromisoformat(text.strip().upper())
    except (BadTime, ValueError):
        return
    assert moment_of(read) == in_utc(plain)


@given(st.datetimes(moment_of("0002-01-01"), moment_of("9998-12-31")))
def test_last_monday_is_one_to_seven_days_before_today(wall: datetime) -> None:
    found = moment_of(instant("last monday", now=wall.replace(tzinfo=UTC)))
    assert found.weekday() == 0
    assert 1 <= (wall.date() - found.date()).days <= 7


# Zones


def test_today_is_the_day_of_the_users_zone_and_not_that_of_now() -> None:
    local = in_zone("Pacific/Auckland")
    assert instant("today", local=local) == "2026-11-23T11:00:00.000000Z"
    assert instant("yesterday 15:00", local=local) == "2026-11-23T02:00:00.000000Z"
    assert instant("2026-11-23T08:00Z", local=local) == "2026-11-23T08:00:00.000000Z"


def test_yesterday_at_three_is_wall_clock_time_across_a_change_and_24h_is_elapsed_time() -> None:
    local = in_zone("Europe/Berlin")
    now = local(moment_of("2026-03-29T15:00"))
    assert instant("yesterday 15:00", now=now, local=local) == "2026-03-28T14:00:00.000000Z"
    for text in ("24h", "1d", "1 day ago"):
        assert instant(text, now=now, local=local) == "2026-03-28T13:00:00.000000Z"


def test_a_day_on_which_the_clocks_change_has_23_or_25_hours() -> None:
    local = in_zone("Europe/Berlin")
    for day, hours in (("2026-03-29", 23), ("2026-10-25", 25)):
        length = moment_of(instant(day, local=local, end=True)) - moment_of(instant(day, local=local))
        assert length == timedelta(hours=hours) - MICROSECOND


def test_a_time_shown_twice_is_the_first_as_a_beginning_and_the_second_as_an_end() -> None:
    local = in_zone("Europe/Berlin")
    assert instant("2026-10-25T02:30", local=local) == "2026-10-25T00:30:00.000000Z"
    assert instant("2026-10-25T02:30", local=local, end=True) == "2026-10-25T01:30:00.000000Z"


def test_a_skipped_time_is_the_moment_of_the_jump() -> None:
    local = in_zone("Europe/Berlin")
    for text in ("2026-03-29T02:00", "2026-03-29T02:30", "2026-03-29T02:59:59.999999"):
        assert instant(text, local=local) == "2026-03-29T01:00:00.000000Z"
        assert instant(text, local=local, end=True) == "2026-03-29T00:59:59.999999Z"


def test_a_day_that_begins_with_a_jump_begins_at_the_jump() -> None:
    assert instant("2022-03-27", local=in_zone("Asia/Beirut")) == "2022-03-26T22:00:00.000000Z"


def test_a_day_that_ends_twice_ends_the_second_time() -> None:
    local = in_zone("America/Sao_Paulo")
    assert instant("2018-02-17", local=local, end=True) == "2018-02-18T02:59:59.999999Z"


def test_a_day_that_a_zone_skipped_is_empty() -> None:
    local = in_zone("Pacific/Apia")
    jump = "2011-12-30T10:00:00.000000Z"
    assert instant("2011-12-30", local=local) == instant("2011-12-31", local=local) == jump
    assert instant("2011-12-30", local=local, end=True) == "2011-12-30T09:59:59.999999Z"


@given(st.sampled_from(sorted(CHANGES)), st.timedeltas(timedelta(hours=-36), timedelta(hours=36)))
def test_a_beginning_is_when_the_clocks_first_show_a_time_and_an_end_when_they_last_do(
    key: str, off: timedelta
) -> None:
    local, wall = in_zone(key), moment_of(CHANGES[key]) + off
    first = instant(wall.isoformat(), local=local)
    before = canonical(moment_of(first) - MICROSECOND)
    assert wall_clock(before, local) < wall <= wall_clock(first, local)
    last = instant(wall.isoformat(), local=local, end=True)
    after = canonical(moment_of(last) + MICROSECOND)
    assert wall_clock(last, local) <= wall < wall_clock(after, local)


@pytest.fixture
def central_europe() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # needs no time zone database
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("central_europe")
def test_the_systems_zone_is_heeded_through_astimezone() -> None:
    local = datetime.astimezone
    assert instant("2026-07-01", local=local) == "2026-06-30T22:00:00.000000Z"
    assert instant("2026-12-01", local=local) == "2026-11-30T23:00:00.000000Z"
    assert instant("2026-10-25T02:30", local=local) == "2026-10-25T00:30:00.000000Z"
    assert instant("2026-10-25T02:30", local=local, end=True) == "2026-10-25T01:30:00.000000Z"
    assert instant("2026-03-29T02:30", local=local) == "2026-03-29T01:00:00.000000Z"
    assert instant("2026-03-29T02:30", local=local, end=True) == "2026-03-29T00:59:59.999999Z"
    now = datetime(2026, 3, 29, 22, 30, tzinfo=UTC)
    assert instant("today 00:00", now=now, local=local) == "2026-03-29T22:00:00.000000Z"


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0),
        ("10s", 10.0),
        ("500ms", 0.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        ("0.25", 0.25),
        ("0", 0.0),
        (" 2M ", 120.0),
    ],
)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "-1",
        "-1s",
        "+1",
        "nan",
        "inf",
        "1e3",
        ".5s",
        "1.s",
        "1 s",
        "1d",
        "1h30m",
        "1_0",
        "\u0663s",
        "9" * 12 + "h",
        "9" * 400,
    ],
)
def test_any_other_duration_is_a_bad_time_with_three_examples(text: str) -> None:
    with pytest.raises(BadTime) as refusal:
        parse_duration(text)
    for shown in ("10s", "500ms", "2m"):
        assert shown in refusal.value.hint
        parse_duration(shown)


@given(st.one_of(st.text(), st.from_regex(r"-?[0-9.e]+(ms|s|m|h)?")))
def test_any_text_is_a_duration_from_zero_to_a_century_or_a_bad_time(text: str) -> None:
    with suppress(BadTime):
        assert 0 <= parse_duration(text) <= 100 * 366 * 86_400


# The help topic


def read_topic_block(heading: str) -> list[str]:
    topic = files("evcli.cli").joinpath("topics", "time.md").read_text(encoding="utf-8")
    block = topic.partition(heading)[2].split("```")[1]
    return [re.split(r"\s{2,}", line)[0] for line in block.strip().splitlines()]


def test_the_help_topic_lists_forms_that_are_accepted_and_texts_that_are_not() -> None:
    accepted = read_topic_block("## What an option takes")
    refused = read_topic_block("never guessed")
    assert len(accepted) > 10
    assert len(refused) > 4
    for text in accepted:
        assert instant(text)
    for text in refused:
        with pytest.raises(BadTime):
            instant(text)
