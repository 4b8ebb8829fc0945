"""The rules of the gate on parts that were made up for each of them."""

import pytest

from inspection.services.gate_rules import (
    Call,
    Part,
    allowed_more,
    allowed_more_looks,
    band,
    outcome,
)


def part(
    name: str,
    label: str,
    will: str,
    was: str | None = "pass",
    *,
    must: bool = False,
    score: float = 0.5,
) -> Part:
    return Part(
        image=name,
        name=name,
        label=label,
        must_catch=must and bool(label),
        must_pass=must and not label,
        candidate=Call(will, None if will == "error" else score),
        baseline=None if was is None else Call(was, score),
    )


def broken(*parts: Part) -> list[str]:
    return [failure["rule"] for failure in outcome(parts)["failures"]]


def test_a_candidate_that_says_the_same_passes() -> None:
    parts = [part("a", "", "pass"), part("b", "scratch", "fail", "fail", score=0.9)]
    found = outcome(parts)
    assert (found["failures"], found["flips"]) == ([], [])
    assert (found["goods"], found["defects"]) == (1, 1)
    assert found["candidate"] == found["baseline"]
    assert found["candidate"]["auroc"] == 1.0


def test_a_defect_that_is_not_caught_any_more_breaks_the_gate() -> None:
    assert broken(part("a", "scratch", "pass", "review")) == ["recall"]
    assert broken(part("a", "scratch", "review", "fail")) == [], "a person looks at it"


def test_one_lost_and_one_found_defect_is_no_worse_unless_the_lost_one_must_be_caught() -> None:
    found = part("b", "dent", "fail", "pass")
    assert broken(part("a", "scratch", "pass", "fail"), found) == []
    assert broken(part("a", "scratch", "pass", "fail", must=True), found) == ["must_catch"]


def test_what_must_be_caught_must_be_caught_even_if_the_active_model_misses_it_too() -> None:
    assert broken(part("a", "scratch", "pass", "pass", must=True)) == ["must_catch"]


def test_a_part_that_must_pass_must_not_fail() -> None:
    goods = [part(f"g{n}", "", "pass") for n in range(99)]
    assert broken(part("a", "", "fail", "fail", must=True), *goods) == ["must_pass"]
    assert broken(part("a", "", "review", must=True), *goods) == []


def test_one_more_false_call_in_a_hundred_good_parts_is_forgiven_and_two_are_not() -> None:
    goods = [part(f"g{n}", "", "pass") for n in range(98)]
    one, two = part("x", "", "fail"), part("y", "", "fail")
    assert broken(one, part("y", "", "pass"), *goods) == []
    assert broken(one, two, *goods) == ["false_calls"]
    assert [allowed_more(n) for n in (0, 1, 100, 101)] == [0, 1, 1, 2]


def test_a_candidate_that_asks_about_every_good_part_does_not_pass() -> None:
    parts = [part(f"g{n}", "", "review") for n in range(20)]
    found = outcome([*parts, part("a", "scratch", "fail", "fail")])
    assert found["failures"] == [{"rule": "looked_at", "n": 20, "was": 0}]
    assert (found["candidate"]["looked_at"], found["candidate"]["false_calls"]) == (20, 0)


def test_one_more_look_in_twenty_good_parts_is_forgiven_and_two_are_not() -> None:
    goods = [part(f"g{n}", "", "pass") for n in range(18)]
    one, two = part("x", "", "review"), part("y", "", "review")
    assert broken(one, part("y", "", "pass"), *goods) == []
    assert broken(one, two, *goods) == ["looked_at"]
    assert broken(one, part("y", "", "fail"), *goods) == ["looked_at"], "a fail is looked at too"
    assert [allowed_more_looks(n) for n in (0, 1, 20, 21, 140)] == [0, 1, 1, 2, 7]


def test_a_good_part_that_failed_and_is_now_doubted_is_no_more_work() -> None:
    assert broken(*(part(f"g{n}", "", "review", "fail") for n in range(20))) == []
    assert broken(*(part(f"g{n}", "", "review", "review") for n in range(20))) == []
    doubts = [part(f"d{n}", "scratch", "review", "pass") for n in range(20)]
    assert broken(*doubts) == [], "doubts about defects are what reviews are for"


def test_a_part_that_cannot_be_judged_breaks_the_gate() -> None:
    assert broken(part("a", "", "error")) == ["errors"]


def test_without_an_active_model_only_what_must_be_counts() -> None:
    found = outcome([part("a", "scratch", "pass", None), part("b", "", "fail", None)])
    assert (found["baseline"], found["failures"], found["flips"]) == (None, [], [])


@pytest.mark.parametrize(
    ("label", "will", "was", "better"),
    [
        ("scratch", "fail", "pass", True),
        ("scratch", "pass", "review", False),
        ("", "pass", "fail", True),
        ("", "review", "pass", False),
        ("", "error", "pass", False),
    ],
)
def test_flips_say_whether_they_go_the_right_way(
    label: str, will: str, was: str, better: bool
) -> None:
    (flip,) = outcome([part("a", label, will, was)])["flips"]
    assert (flip["was"], flip["will"], flip["better"]) == (was, will, better)


def test_no_auroc_from_one_kind_of_part_alone() -> None:
    assert outcome([part("a", "", "pass")])["candidate"]["auroc"] is None


def test_bands_are_what_pages_show() -> None:
    assert band("Passed", "auto") == "pass"
    assert band("Passed", "needs_review") == band("Failed", "needs_review") == "review"
    assert band("Failed", "auto") == "fail"
    assert band("Error", "needs_review") == band("Skipped", "auto") == "error"
