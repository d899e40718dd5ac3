"""Nothing in the data can break out of the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.reporting.map_report.page import embedded_json, page_html

HOSTILE = [
    "</script><b>",
    "<!--<script>",
    "{{program}}",
    "{{data}}",
    "\u2028\u2029",
    'quote " and \\ backslash',
    "&lt;/script&gt;",
    "]]>",
    "\x00\x1f",
]


class Elements(HTMLParser):
    """What a browser would make of a page: its elements, and the text of each script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def text_of(self, name: str) -> list[str]:
        return [t for n, t in zip(self.names, self.texts, strict=True) if n == name]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_neither_add_elements_nor_are_lost(text: str):
    plain = Elements(page_html("title", {"classes": ["pool"]}))
    hostile = Elements(page_html(text, {"classes": [text], text: text}))
    assert hostile.names == plain.names
    assert json.loads(hostile.text_of("script")[0]) == {"classes": [text], text: text}


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_text_comes_back_from_the_page(value: object):
    text = embedded_json({"value": value})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text)["value"] == value


def test_the_title_is_text():
    page = page_html("Pools & <i>more</i>", {})
    assert "<title>Pools &amp; &lt;i&gt;more&lt;/i&gt;</title>" in page


def test_the_page_names_nothing_outside_itself():
    page = page_html("title", {})
    addresses = [word for word in page.split() if "//" in word and not word.startswith("//")]
    assert all("www.w3.org" in word for word in addresses)  # names of XML kinds are not fetched
    assert "default-src 'none'" in page
    assert 'src="' not in page


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        embedded_json({"value": float("nan")})
