"""Looks over a page's shoulder: nothing forbidden, nothing from elsewhere, no script error."""

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
"""
# A browser says "Failed to load" on the console for answers that a page asked for and handles.
SAID_BY_STATUS = "Failed to load resource"


class Watcher:
    """Attach before the first page is opened; `check()` at the end of every test."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.host = urlsplit(url).netloc
        self.wrong: list[str] = []
        self.expected: set[int] = set()
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("page", self._watch)

    def _watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"script error: {error}"))
        page.on("request", self._request)
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and SAID_BY_STATUS not in message.text:
            self.wrong.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != self.host:
            self.wrong.append(f"asked another host: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.wrong.append(f"{response.status} {response.request.method} {response.url}")

    def check(self) -> None:
        assert not self.wrong, "\n".join(self.wrong)
