"""`fetch_webpage`: a page of the web as text that a model can read."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urljoin

SKIPPED = {"script", "style", "noscript", "template", "svg", "iframe", "object", "select"}
BLOCKS = {
    "address", "article", "aside", "blockquote", "br", "div", "dl", "dt", "dd", "figure",
    "figcaption", "footer", "form", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
    "section", "table", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6", "title",
}  # fmt: skip


def fetch_webpage(url: str) -> str:
    """Fetch a web page and get its text as Markdown, with its links.

    Args:
        url: the address of the page, with http:// or https://.
    """
    import o

    accepted = "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, */*;q=0.1"
    answer = o.http.fetch(url=url, headers={"Accept": accepted}, timeout_s=25.0)
    kind = answer["headers"].get("content-type", "").partition(";")[0].strip().lower()
    if answer["status"] >= 400:
        said = answer.get("text", "")
        text = _markdown(said, answer["url"]) if "html" in kind else said
        raise RuntimeError(
            f"{url} answered {answer['status']}; try another address. It says: {text[:500]}"
        )
    if "text" not in answer:
        raise RuntimeError(
            f"{url} is no text ({kind or 'of a kind it does not say'}); only text can be read"
        )
    is_page = "html" in kind or (not kind and "<html" in answer["text"][:2000].lower())
    return _markdown(answer["text"], answer["url"]) if is_page else str(answer["text"])


def _markdown(page: str, url: str) -> str:
    reader = _Reader(url)
    reader.feed(page)
    reader.close()
    lines = [line.rstrip() for line in "".join(reader.said).split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self._url = url
        self._skipped = 0
        self._kept_as_is = 0
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SKIPPED:
            self._skipped += 1
        if self._skipped:
            return
        given = dict(attrs)
        if tag in BLOCKS:
            self._begin_line(tag)
        if tag == "pre":
            self._kept_as_is += 1
            self.said.append("```\n")
        elif tag == "a":
            href = given.get("href") or ""
            is_shown = bool(href) and not href.startswith(("#", "javascript:"))
            self._links.append(_joined(self._url, href) if is_shown else "")
            self.said.append("[" if is_shown else "")
        elif tag == "img" and given.get("alt"):
            self.said.append(f"![{given['alt']}]")
        elif tag in ("td", "th"):
            self.said.append(" | ")

    def handle_endtag(self, tag: str) -> None:
        if tag in SKIPPED:
            self._skipped = max(0, self._skipped - 1)
        if self._skipped:
            return
        if tag == "a" and self._links:
            target = self._links.pop()
            self.said.append(f"]({target})" if target else "")
        elif tag == "pre" and self._kept_as_is:
            self._kept_as_is -= 1
            self.said.append("\n```\n")
        elif tag in BLOCKS:
            self.said.append("\n\n" if tag[0] == "h" or tag in ("p", "title") else "\n")

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        if self._kept_as_is:
            self.said.append(data)
            return
        text = re.sub(r"\s+", " ", data)
        before = self.said[-1] if self.said else "\n"
        self.said.append(text.lstrip() if before.endswith(("\n", " ", "[")) else text)

    def _begin_line(self, tag: str) -> None:
        self.said.append("\n")
        if len(tag) == 2 and tag[1].isdigit():
            self.said.append("#" * int(tag[1]) + " ")
        elif tag == "title":
            self.said.append("# ")
        elif tag == "li":
            self.said.append("- ")


def _joined(url: str, href: str) -> str:
    try:
        return urljoin(url, href)
    except ValueError:
        return href
