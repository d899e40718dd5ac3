"""Nothing in the data can break out of the page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodetect.reporting.html.template import embed_json, render

Facts = Sequence[tuple[str, str]]
HOSTILE = [
    "</script><b>",
    "<!--<script>",
    "{{ title }}",
    "{% raw %}",
    "{# comment",
    "\u2028\u2029",
    'quote " and \\ backslash',
    "&lt;/script&gt;",
    "]]>",
    "\x00\x1f",
]


def render_report(title: str, payload: object, note: str = "", facts: Facts = ()) -> str:
    data = embed_json(payload)
    return render("map_report.html", title=title, note=note, facts=facts, data=data)


class Elements(HTMLParser):
    """The elements of a page as a browser parses them, and the text of each."""

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
    harmless = Elements(
        render_report("title", {"classes": ["pool"]}, note="note", facts=[("name", "value")])
    )
    payload = {"classes": [text], text: text}
    hostile = Elements(render_report(text, payload, note=text, facts=[(text, text)]))
    assert hostile.names == harmless.names
    assert json.loads(hostile.text_of("script")[0]) == payload


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_any_text_comes_back_from_the_page(value: object):
    text = embed_json({"value": value})
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text)["value"] == value


def test_the_title_is_text():
    page = render_report("Pools & <i>more</i>", {})
    assert "<title>Pools &amp; &lt;i&gt;more&lt;/i&gt;</title>" in page


def test_the_page_names_nothing_outside_itself():
    page = render_report("title", {})
    addresses = [word for word in page.split() if "//" in word and not word.startswith("//")]
    assert all("www.w3.org" in word for word in addresses)  # names of XML kinds are not fetched
    assert "default-src 'none'" in page
    assert 'src="' not in page


def test_only_the_script_of_the_page_may_run():
    page = render_report("title", {})
    (script,) = re.findall("<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in page


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        embed_json({"value": float("nan")})
