"""Limits moved by hand and by key, a golden set, the gate in the way, and the way back."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.factories.pictures import write_parts
from tests.functional.stack import Stack
from tests.functional.steps import drop, files


@pytest.fixture(autouse=True)
def seeded(stack: Stack) -> None:
    stack.seed()


def open_model(page: Page, state: str) -> None:
    page.goto("/models/")
    page.locator("tr", has_text="Demo assembly").filter(has_text=state).locator("a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(state)


def test_limits_are_dragged_stepped_and_put_in_force_with_a_reason(page: Page) -> None:
    open_model(page, "Active")
    page.get_by_role("link", name="Limits", exact=True).click()
    expect(page.locator("#limit-chart")).to_have_attribute("data-ready", "yes")
    expect(page.locator("#rate-fail")).to_have_value("1")
    grip = page.locator("[data-line=fail] .grip").bounding_box()
    chart = page.locator("#limit-chart svg").bounding_box()
    assert grip
    assert chart
    x, y = grip["x"] + grip["width"] / 2, chart["y"] + 60
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - chart["width"] / 12, y, steps=6)
    page.mouse.up()
    dragged = float(page.locator("#rate-fail").input_value())
    assert dragged > 5
    expect(page.locator("#limit-figures")).to_contain_text("not in force")
    expect(page.locator("#limit-figures [data-fail]")).to_have_attribute(
        "data-fail", page.locator("#rate-fail").input_value()
    )
    page.keyboard.press("ArrowRight")  # the slider of the dragged line has the focus
    stepped = float(page.locator("#rate-fail").input_value())
    assert stepped == pytest.approx(dragged - 1)
    expect(page.locator("#limit-figures [data-fail]")).to_have_attribute(
        "data-fail", f"{stepped:g}"
    )
    page.reload()
    expect(page.locator("#rate-fail")).to_have_value(f"{stepped:g}")

    page.fill("#rate-fail", "0.1")
    expect(page.locator("#limit-figures")).to_contain_text("needs 999 calibration parts")
    page.fill("#rate-fail", "2")
    expect(page.locator("#limit-figures [data-fail]")).to_have_attribute("data-fail", "2")
    page.fill("#reason", "an escape costs more than a second look")
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_text("Operating point 2 is in force")).to_be_visible()
    expect(page.locator("#limit-figures [data-fail]")).to_have_attribute("data-fail", "2")


def test_a_candidate_waits_at_the_gate_unless_somebody_says_why(page: Page, tmp_path: Path) -> None:
    page.goto("/products/")
    page.get_by_role("link", name="Demo assembly").first.click()
    page.get_by_role("link", name="Golden set").click()
    drop(page, files(write_parts(tmp_path, 2, first_seed=500)))
    expect(page.locator("input[name=item]")).to_have_count(2)  # the page was read anew
    page.locator("input[name=item]").first.check()
    expect(page.locator("#chosen-count")).to_have_text("1")
    page.fill("input[name=label]", "missing chip")
    page.get_by_label("every model must judge them right").check()
    page.get_by_role("button", name="Say so").click()
    expect(page.get_by_text("must catch")).to_be_visible()

    open_model(page, "Candidate")
    expect(page.locator("#promote")).to_contain_text("not held against the golden set yet")
    page.get_by_role("button", name="Run the gate").click()
    expect(page.locator("#gate")).to_contain_text("verdicts are there")
    open_model(page, "Candidate")
    expect(page.get_by_label("Why this model?")).to_have_count(0)
    page.get_by_text("Promote it all the same").click()
    page.get_by_label("Why the gate is passed over").fill("the line stands still")
    page.get_by_role("button", name="Let it judge").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Active")

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Back to model").click()
    expect(page.get_by_text("judges again")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Active")
