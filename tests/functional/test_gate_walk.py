"""A candidate that misses a defect: seen part by part, kept back, let through by somebody who
says why, and taken back; and a lot that another version judges again."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.functional.people import post, signed_in
from tests.functional.stack import Stack
from tests.functional.walk_rows import ask


@pytest.fixture(scope="module")
def made(quiet: Stack) -> dict[str, Any]:
    ask(quiet, "person", name="gita", role="engineer")
    return dict(ask(quiet, "contested", code="GATE-1", seed=3000))


def test_a_gate_blocks_is_overridden_by_name_and_rolled_back(
    browser: Browser, quiet: Stack, made: dict[str, Any]
) -> None:
    product, candidate, active = (made[name] for name in ("product", "candidate", "active"))
    with signed_in(browser, quiet, "gita") as page:
        page.goto(f"/models/{candidate['key']}/")
        expect(page.locator("#compare")).to_contain_text(f"Beside model {active['number']}")
        page.get_by_role("button", name="Run the gate").click()
        page.wait_for_url("**/models/gates/**")
        expect(page.locator("#gate")).to_contain_text("0 of 8 verdicts are there")
        ask(quiet, "answer_gate", key=page.url.split("/")[-2])
        flips_part_by_part(page)

        # Kept back: no plain way to promote it, and none for who knows the address.
        page.goto(f"/models/{candidate['key']}/")
        expect(page.locator("#promote")).to_contain_text("This model failed the gate.")
        expect(page.get_by_label("Why this model?")).to_have_count(0)
        refused = post(page, f"/models/{candidate['key']}/promote/", reason="it is newer")
        assert (refused.status, refused.json()["code"]) == (409, "gate_failed")
        before = {str(active["number"]): "active", str(candidate["number"]): "candidate"}
        assert ask(quiet, "states", product=product) == before

        page.get_by_text("Promote it all the same").click()
        page.get_by_label("Why the gate is passed over").fill("crack 1 is caught by hand")
        page.get_by_role("button", name="Let it judge").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Active")
        expect(page.locator(".card", has_text="History")).to_contain_text("gita")
        why = [["gita", "crack 1 is caught by hand"]]
        assert ask(quiet, "trail", action="model.gate_overridden", product=product) == why
        after = {str(active["number"]): "retired", str(candidate["number"]): "active"}
        assert ask(quiet, "states", product=product) == after

        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name=f"Back to model {active['number']}").click()
        expect(page.get_by_text("judges again")).to_be_visible()
        assert page.url.endswith(f"/models/{active['key']}/")
        states = ask(quiet, "states", product=product)
        assert states == {str(active["number"]): "active", str(candidate["number"]): "retired"}
        (by,) = ask(quiet, "trail", action="model.rolled_back", product=product)
        assert by[0] == "gita"


def flips_part_by_part(page: Page) -> None:
    """The page hears of the outcome by itself; a flip is opened by keys, though the bell, which
    tells of the outcome, has lines that keys lead to as well."""
    gate = page.locator("#gate")
    expect(gate.locator("[data-rule=must_catch]")).to_contain_text("Broken")
    expect(gate.locator("[data-rule=must_catch]")).to_contain_text("1 / 2")
    expect(gate.locator("[data-rule=recall]")).to_contain_text("Kept")
    expect(gate).to_contain_text("1 for the better, 1 for the worse")
    flips = gate.locator(".card", has=page.get_by_role("heading", name="Flips"))
    worse, better = flips.locator(".flip").nth(0), flips.locator(".flip").nth(1)
    for flip, name, was, will in (
        (worse, "crack-1.png", "Fail", "Pass"),
        (better, "crack-2.png", "Pass", "Fail"),
    ):
        expect(flip.locator(".flip-name")).to_have_text(name)
        expect(flip).to_contain_text("must catch")
        said = " ".join(flip.locator(".flip-move").inner_text().split())
        assert said.index(was) < said.index("→") < said.index(will)
    missed = gate.locator(".card", has_text="Must be judged right, and is not")
    expect(missed.locator(".flip-name")).to_have_text("crack-1.png")
    expect(page.locator(".bell-line").first).to_be_attached()
    expect(page.locator(".bell-line").first).to_be_hidden()
    page.keyboard.press("j")
    expect(gate.locator(".flip a.tile:focus")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/inspections/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text("crack-1.png")
    expect(page.locator(".head")).to_contain_text("known to be crack")


def test_a_lot_is_judged_again_and_nothing_that_was_said_changes(
    browser: Browser, quiet: Stack, made: dict[str, Any]
) -> None:
    said = ask(quiet, "said_of_lot", lot="GATE-1-L")
    assert len(said) == 4
    with signed_in(browser, quiet, "gita") as page:
        page.goto(f"/models/{made['candidate']['key']}/")
        form = page.locator("#rescore")
        form.get_by_label("Lot", exact=True).select_option(label="GATE-1-L")
        form.get_by_label("Why?").fill("a customer found a crack")
        form.get_by_role("button", name="Judge again").click()
        page.wait_for_url("**/flips/")
        expect(page.locator("#flips")).to_contain_text("0 of 4 parts are judged again")
        ask(quiet, "answer_lot", key=page.url.split("/")[-3], scores=[0.2, 1.3, 0.4, 0.4])
        expect(page.locator("#flips")).to_contain_text("2 of 4 parts are judged otherwise")
        expect(page.locator("#flips .tile")).to_have_count(2)
        page.locator("a.chip", has_text="Pass → Fail").click()
        expect(page.locator("#flips .tile")).to_have_count(1)
        expect(page.locator("#flips .tile")).to_contain_text("GATE-1-L-1")
        with page.expect_download() as coming:
            page.get_by_role("link", name="These parts as CSV").click()
        lines = Path(coming.value.path()).read_text().splitlines()
        assert [line.split(",")[:3] for line in lines[1:]] == [["GATE-1-L-1", "GATE-1-L", "pass"]]

        assert ask(quiet, "said_of_lot", lot="GATE-1-L") == said
        page.goto("/defects/?product=GATE-1&verdict=fail&view=table&lot=GATE-1-L")
        counted = page.locator(".defects-table tbody tr", has_not_text="not counted")
        expect(counted).to_have_count(1)
        expect(counted).to_contain_text("GATE-1-L-2")
        why = [["gita", "a customer found a crack"]]
        assert ask(quiet, "trail", action="lot.rescored", product=made["product"]) == why
