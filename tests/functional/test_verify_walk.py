"""A shift at the verification station, by keyboard: judge, undo, lock, and go on by PIN."""

from playwright.sync_api import Page, Request, Route, expect

from tests.functional.conftest import PASSWORD
from tests.functional.stack import Stack

PIN = "4711x"
STILL_HELD = """async (part) => {
  const answer = await fetch(document.querySelector("#station").dataset.claims, {
    method: "POST", headers: { "X-CSRFToken": document.body.dataset.csrf },
    body: new URLSearchParams({ keep: part }),
  });
  return (await answer.json()).kept;
}"""


def test_parts_are_judged_by_keys_and_the_station_locks(page: Page, stack: Stack) -> None:
    stack.seed()
    page.goto("/products/")
    page.locator(".product-card", has_text="Demo assembly").click()
    page.get_by_role("link", name="Verification").click()
    page.fill("#id_code", "BRIDGE")
    page.fill("#id_text", "Solder bridge")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("cell", name="Solder bridge")).to_be_visible()

    page.get_by_role("link", name="To the station").click()
    station, part = page.locator("#station"), page.locator(".station-part:visible")
    expect(station).to_have_attribute("data-ready", "yes")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")
    left = int(page.locator("#count-left").inner_text())
    done = int(page.locator("#count-today").inner_text())
    assert left > 3
    first = str(station.get_attribute("data-part"))
    bridge = part.get_by_role("radio", name="Solder bridge")
    page.keyboard.press(str(bridge.get_attribute("data-digit")))  # codes come in their order
    expect(bridge).to_be_checked()
    with page.expect_response("**/review/"):
        page.keyboard.press("c")
    expect(station).not_to_have_attribute("data-part", first)
    expect(page.locator("#count-left")).to_have_text(str(left - 1))
    expect(page.locator(".last-item").first).to_contain_text("Defect confirmed")
    expect(page.locator(".last-item").first).to_contain_text("Solder bridge")

    second = str(station.get_attribute("data-part"))
    page.keyboard.press("m")
    page.keyboard.type("flux on the pad, c and r are letters here")
    page.keyboard.press("Enter")
    with page.expect_response("**/review/"):
        page.keyboard.press("r")
    expect(page.locator("#count-today")).to_have_text(str(done + 2))
    page.keyboard.press("k")
    expect(station).to_have_attribute("data-part", second)
    expect(part.locator(".station-said")).to_contain_text("False call")
    with page.expect_response("**/undo/"):
        page.keyboard.press("u")
    expect(page.locator("#count-left")).to_have_text(str(left - 1))
    expect(station).to_have_attribute("data-part", second)
    assert page.evaluate(STILL_HELD, second) == [second], "nobody else is handed it meanwhile"
    page.reload()
    expect(station).to_have_attribute("data-part", second)  # still ours, and still to be judged

    page.goto("/accounts/pin/")
    for name, value in (("badge", "B-1"), ("pin", PIN), ("pin_again", PIN), ("password", PASSWORD)):
        page.fill(f"#id_{name}", value)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("A PIN is set.")).to_be_visible()

    page.clock.install()
    page.goto("/verify/")
    expect(station).to_have_attribute("data-ready", "yes")
    page.clock.fast_forward("06:00")  # nobody touches anything
    page.wait_for_url("**/lock/")
    page.goto("/products/")
    expect(page.get_by_role("heading", level=1)).to_have_text("This station is locked")
    page.fill("#id_pin", "wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Badge or PIN is wrong")).to_be_visible()
    page.fill("#id_pin", PIN)
    page.keyboard.press("Enter")
    page.wait_for_url("**/verify/")
    expect(page.locator("#station")).to_have_attribute("data-ready", "yes")


def test_a_decision_still_on_its_way_does_not_bring_the_part_back(page: Page, stack: Stack) -> None:
    stack.seed()
    page.goto("/verify/")
    station = page.locator("#station")
    expect(station).to_have_attribute("data-ready", "yes")
    page.wait_for_load_state("networkidle")
    held: list[Route] = []
    asked: list[Request] = []
    page.route("**/review/", lambda route: held.append(route))
    page.on("request", lambda one: asked.append(one) if "/verify/parts/" in one.url else None)
    judged: list[str] = []
    with page.expect_response("**/verify/parts/**") as answer:
        while not asked or len(judged) < 2:  # more are wanted when few are left
            judged.append(str(station.get_attribute("data-part")))
            assert judged[-1], "there are too few parts for this walk"
            page.keyboard.press("r")
            expect(station).not_to_have_attribute("data-part", judged[-1])
    answer.value.finished()
    for part in judged:
        expect(page.locator(f"[data-part='{part}'].station-part")).to_have_count(1)
    page.keyboard.press("k")
    expect(station).to_have_attribute("data-part", judged[-1])
    expect(page.locator("[data-state=DefectRejected]")).to_be_disabled()
    for route in held:
        route.continue_()
    for part in judged:
        expect(page.locator(f".last-item[data-of='{part}']").first).to_be_visible()
    for _ in judged:
        with page.expect_response("**/undo/"):
            page.keyboard.press("u")


def test_pages_of_verification_fit_a_phone_and_a_desk(page: Page, stack: Stack) -> None:
    stack.seed()
    addresses = ["/verify/", "/verify/?kind=second", "/verify/agreement/", "/verify/escapes/"]
    addresses += ["/settings/audit/", "/accounts/pin/"]
    for width, height in ((390, 844), (1440, 900)):
        page.set_viewport_size({"width": width, "height": height})
        for address in addresses:
            page.goto(address)
            page.wait_for_load_state("networkidle")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"{address} is {wide} px wide at {width} px"
