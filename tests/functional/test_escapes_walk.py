"""A defect that a customer found: reported by what is on the part, and taken back."""

from playwright.sync_api import Browser, expect

from tests.functional.people import post, signed_in
from tests.functional.stack import Stack
from tests.functional.walk_rows import ask


def test_an_escape_is_reported_by_serial_number_and_withdrawn(
    browser: Browser, quiet: Stack
) -> None:
    ask(quiet, "person", name="ines", role="inspector")
    ask(quiet, "person", name="other", role="inspector")
    product = ask(quiet, "contested", code="ESC-1", seed=6000)["product"]
    with signed_in(browser, quiet, "ines") as page:
        page.goto("/verify/escapes/")
        page.fill("#id_serial_number", "no such part")
        page.fill("#id_found_where", "Customer")
        page.get_by_role("button", name="Report").click()
        said = page.locator(".field", has=page.locator("#id_serial_number"))
        expect(said).to_contain_text("No unit with the serial number “no such part”")
        expect(page.locator("#id_found_where")).to_have_value("Customer")
        assert ask(quiet, "escapes", product=product) == []

        page.fill("#id_serial_number", "ESC-1-L-1")
        page.fill("#id_comment", "no contact at pin 4")
        page.get_by_role("button", name="Report").click()
        expect(page.locator("#toasts")).to_contain_text("The escape of ESC-1-L-1 is on record.")
        row = page.locator("tr", has_text="ESC-1-L-1")
        for words in ("Customer", "no contact at pin 4", "Pass", "ines"):
            expect(row).to_contain_text(words)
        (kept,) = ask(quiet, "escapes", product=product)
        assert (kept["unit"], kept["where"], kept["by"]) == ("ESC-1-L-1", "Customer", "ines")

        with signed_in(browser, quiet, "other") as beside:
            beside.goto("/verify/escapes/?q=ESC-1-L-1")
            theirs = beside.locator("tr", has_text="ESC-1-L-1")
            expect(theirs).to_be_visible()
            expect(theirs.get_by_text("Withdraw", exact=True)).to_have_count(0)
            address = f"/verify/escapes/{kept['key']}/withdraw/"
            assert post(beside, address, reason="not mine").status == 403
        assert ask(quiet, "escapes", product=product) == [kept]

        row.locator("summary", has_text="Withdraw").click()
        row.get_by_label("Why was it a mistake?").fill("the tester was wrong")
        row.get_by_role("button", name="Withdraw").click()
        expect(page.locator("#toasts")).to_contain_text("withdrawn: it counts no more")
        expect(row).to_contain_text("Withdrawn: the tester was wrong")
        expect(row.locator("s").first).to_have_text("ESC-1-L-1")
        (taken,) = ask(quiet, "escapes", product=product)
        assert taken == {**kept, "withdrawn": "the tester was wrong"}
        why = [["ines", "the tester was wrong"]]
        assert ask(quiet, "trail", action="escape.withdrawn", product=product) == why
