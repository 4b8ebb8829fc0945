"""Four people with a role for one product each: what they see, what they do not, and that who
knows an address gets no further than who sees its button; and nothing of any other product."""

from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.functional.people import post, signed_in
from tests.functional.stack import Stack
from tests.functional.walk_rows import ask

ROLES = ("viewer", "inspector", "engineer", "administrator")


@dataclass(frozen=True)
class Deed:
    """Something to be done on a page, and the lowest role that may."""

    page: str
    shows: str  # what only they see there
    least: str
    address: str = ""  # where it is sent
    form: tuple[tuple[str, str], ...] = ()


DEEDS = (
    Deed("/products/{product}/", ".head-actions [href$='/batches/new/']", "inspector"),
    Deed(
        "/inspections/{part}/",
        "#judge [name=state]",
        "inspector",
        "/inspections/{part}/review/",
        (("state", "DefectConfirmed"),),
    ),
    Deed(
        "/verify/escapes/",
        "#id_found_where",
        "inspector",
        "/verify/escapes/",
        (("serial_number", "ROLE-1-L-1"), ("found_where", "Customer")),
    ),
    Deed("/products/{product}/", ".head-actions [href$='/upload/']", "engineer"),
    Deed("/settings/about/", ".tabs [href$='/settings/audit/']", "engineer"),
    Deed(
        "/models/{candidate}/",
        "[action$='/gate/']",
        "engineer",
        "/models/{candidate}/gate/",
    ),
    Deed(
        "/models/{candidate}/",
        "#promote [action$='/promote/']",
        "engineer",
        "/models/{candidate}/promote/",
        (("override", "I want it"),),
    ),
    Deed(
        "/models/{candidate}/",
        "#rescore [action$='/rescore/']",
        "engineer",
        "/models/{candidate}/rescore/",
        (("lot", "{lot}"), ("reason", "I want it")),
    ),
    Deed(
        "/models/{active}/limits/",
        "#reason",
        "engineer",
        "/models/{active}/limits/save/",
        (("fail", "5"), ("review", "9"), ("reason", "I want it")),
    ),
    Deed(
        "/products/{product}/retraining/",
        "[action$='/retraining/start/']",
        "engineer",
        "/products/{product}/retraining/start/",
        (("preset", "tiny"), ("method", "fused"), ("budget_minutes", "1")),
    ),
    Deed("/inspections/{part}/", "#use-part", "engineer", "/retraining/good-parts/"),
    Deed(
        "/reports/",
        "#schedule",
        "engineer",
        "/reports/schedules/new/",
        (
            ("schedule-kind", "lot_csv"),
            ("schedule-product", "{product}"),
            ("schedule-every", "day"),
            ("schedule-weekday", "0"),
            ("schedule-hour", "5"),
            ("schedule-recipients", "me@plant.example"),
        ),
    ),
    Deed(
        "/products/{product}/",
        ".head [href$='/people/']",
        "administrator",
        "/products/{product}/people/set/",
        (("username", "newcomer"), ("role", "administrator")),
    ),
)


@pytest.fixture(scope="module")
def made(quiet: Stack) -> dict[str, str]:
    """What addresses name of the one product; `other_…` of the other."""
    ours = ask(quiet, "contested", code="ROLE-1", seed=7000)
    other = ask(quiet, "contested", code="ROLE-2", seed=7500)
    for role in ROLES:
        ask(quiet, "person", name=f"one-{role}", role=role, product="ROLE-1")
    ask(quiet, "person", name="newcomer", role="")
    return {
        "product": ours["product"],
        "active": ours["active"]["key"],
        "candidate": ours["candidate"]["key"],
        **ask(quiet, "first_of", lot="ROLE-1-L"),
        "other_product": other["product"],
        "other_model": other["candidate"]["key"],
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_what_it_may_do_and_cannot_do_the_rest(
    browser: Browser, quiet: Stack, made: dict[str, str], role: str
) -> None:
    before = ask(quiet, "doings", product=made["product"])
    with signed_in(browser, quiet, f"one-{role}") as page:
        for deed in DEEDS:
            may = ROLES.index(role) >= ROLES.index(deed.least)
            page.goto(deed.page.format(**made))
            expect(page.locator("h1, .inspection-head").first).to_be_visible()
            assert bool(page.locator(deed.shows).count()) == may, deed
            if deed.address and not may:
                is_refused(page, deed, made)
        nothing_of_the_other(page, made)
    assert ask(quiet, "doings", product=made["product"]) == before


def is_refused(page: Page, deed: Deed, made: dict[str, str]) -> None:
    form = {name: value.format(**made) for name, value in deed.form}
    if "good-parts" in deed.address:
        form["inspection"] = made["part"]
    answer = post(page, deed.address.format(**made), **form)
    assert answer.status == 403, (deed, answer.status, answer.text()[:300])


def nothing_of_the_other(page: Page, made: dict[str, str]) -> None:
    """As if it were not there: neither listed, nor opened, nor changed."""
    for address in ("/products/", "/models/", "/defects/", "/reports/", "/"):
        page.goto(address)
        expect(page.locator("body")).not_to_contain_text("ROLE-2")
    page.goto("/products/")
    expect(page.locator("body")).to_contain_text("ROLE-1")
    for address in (f"/products/{made['other_product']}/", f"/models/{made['other_model']}/"):
        assert page.request.get(address).status == 404
    override = post(page, f"/models/{made['other_model']}/promote/", override="I want it")
    assert override.status == 404


def test_an_administrator_of_a_product_gives_a_role_and_takes_it_away(
    browser: Browser, quiet: Stack, made: dict[str, Any]
) -> None:
    people = f"/products/{made['product']}/people/"
    with (
        signed_in(browser, quiet, "one-administrator") as page,
        signed_in(browser, quiet, "newcomer") as theirs,
    ):
        assert theirs.request.get(f"/products/{made['product']}/").status == 404
        page.goto(people)
        page.fill("#id_username", "newcomer")
        page.select_option("#id_role", "inspector")
        page.get_by_role("button", name="Give").click()
        chosen = page.get_by_label("Role of newcomer")
        expect(chosen).to_have_value("inspector")
        assert ask(quiet, "roles_of", name="newcomer") == {"ROLE-1": "inspector"}

        theirs.goto("/products/")
        expect(theirs.locator("body")).to_contain_text("ROLE-1")
        expect(theirs.locator("body")).not_to_contain_text("ROLE-2")
        theirs.goto(f"/inspections/{made['part']}/")
        expect(theirs.locator("#judge [name=state]").first).to_be_visible()

        with page.expect_navigation():
            chosen.select_option("")
        expect(chosen).to_have_count(0)
        assert ask(quiet, "roles_of", name="newcomer") == {}
        assert theirs.request.get(f"/products/{made['product']}/").status == 404
        # Users of the house are the business of who administers everything.
        expect(page.locator(".tabs [href='/settings/users/']")).to_have_count(0)
        assert page.request.get("/settings/users/").status == 403
        made_up = post(page, "/settings/users/", username="mallory", role="administrator")
        assert made_up.status == 403
        assert ask(quiet, "roles_of", name="mallory") == {}
