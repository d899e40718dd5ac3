"""Damage to the structure of documents: JSON, XML and tables of text."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

TEXTS = (
    "", " ", "\u0000", "é\u202e", "\ud83d\ude00", "NaN", "1e999", "-1", "../../x", "a" * 3000,
    "=1+1", "[/red]", "`x`", "%s{}",
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2**31, 2**63, -(2**63), 10**400, 1e308, -1e308, 1e-320, 0.5, float("nan"),
    float("inf"),
)  # fmt: skip
DEEP = "nested"  # stands for lists within lists
ENCODINGS = ("utf-16", "utf-8-sig", "latin-1", "cp1252")


def damage_json(text: str, rng: random.Random) -> str:
    """Return JSON with one to four values dropped, retyped, nested, repeated or set to extremes."""
    document = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = _places(document)
        if not places:
            break
        holder, key = rng.choice(places[:400])
        _change_value(holder, key, rng)
    changed = json.dumps(document, ensure_ascii=rng.random() < 0.8)
    depth = rng.choice((3, 100, 100_000))
    changed = changed.replace(json.dumps(DEEP), "[" * depth + "1" + "]" * depth)
    if rng.random() < 0.1:  # a key twice
        changed = re.sub(r'("\w+": )', r"\1null, \1", changed, count=1)
    return changed


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return the place of each value, as the object or list that holds it and the key."""
    places, rest = [], [document]
    while rest:
        holder = rest.pop(0)
        keys = holder if isinstance(holder, dict) else range(len(holder))
        for key in keys:
            places.append((holder, key))
            if isinstance(holder[key], dict | list):
                rest.append(holder[key])
    return places


def _change_value(holder: Any, key: Any, rng: random.Random) -> None:
    value = holder[key]
    action = rng.randrange(8)
    if action == 0:
        del holder[key]
    elif action == 1:
        holder[key] = None
    elif action == 2:
        holder[key] = rng.choice(NUMBERS)
    elif action == 3:
        holder[key] = rng.choice(TEXTS)
    elif action == 4:
        holder[key] = rng.choice(([], {}, [value], {"a": value}, [[[[value]]]], True))
    elif action == 5:
        holder[key] = DEEP
    elif action == 6 and isinstance(holder, list):
        holder.insert(rng.randrange(len(holder) + 1), copy.deepcopy(value))
    else:
        holder[key] = str(value) if isinstance(value, int | float) else rng.choice(NUMBERS)


def damage_xml(text: str, rng: random.Random) -> str:
    """Return XML with one to three values, attributes or elements changed, or with an entity."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(XML_OPERATORS)(text, rng)
    return text


def _change_xml_value(text: str, rng: random.Random) -> str:
    values = list(re.finditer(r'(?<=")[^"<>]*(?=")|(?<=>)[^<>\s][^<>]*(?=<)', text))
    if not values:
        return text
    match = rng.choice(values)
    value = str(rng.choice((*NUMBERS, *TEXTS))).replace("\ud83d\ude00", "\U0001f600")
    return text[: match.start()] + value + text[match.end() :]


def _drop_element(text: str, rng: random.Random) -> str:
    elements = list(re.finditer(r"<(\w+)[^<>]*>[^<>]*</\1>|<\w+[^<>]*/>", text))
    if not elements:
        return text
    match = rng.choice(elements)
    repeated = match[0] * rng.choice((0, 0, 2, 50))
    return text[: match.start()] + repeated + text[match.end() :]


def _break_tag(text: str, rng: random.Random) -> str:
    tags = list(re.finditer(r"</?\w+", text))
    if not tags:
        return text
    match = rng.choice(tags)
    return text[: match.start()] + rng.choice(("", "<", "<x", "&")) + text[match.end() :]


def _add_entity(text: str, rng: random.Random) -> str:
    """Add entities that grow tenfold nine times."""
    names = "abcdefghi"
    entities = ['<!ENTITY a "laughter">']
    for name, previous in zip(names[1:], names, strict=False):
        entities.append(f'<!ENTITY {name} "{f"&{previous};" * 10}">')
    declaration = f"<!DOCTYPE x [{''.join(entities)}]>"
    position = text.find("?>") + 2 if text.startswith("<?xml") else 0
    body = re.sub(r"(?<=>)([^<>\s][^<>]*)(?=<)", "&i;", text[position:], count=1)
    return text[:position] + declaration + body


XML_OPERATORS = (
    _change_xml_value,
    _change_xml_value,
    _change_xml_value,
    _drop_element,
    _break_tag,
    _add_entity,
)


def damage_lines(text: str, rng: random.Random, *, separator: str = ",") -> str:
    """Return a table of text with one to four cells or lines changed."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not lines:
            break
        row = rng.randrange(len(lines))
        cells = lines[row].split(separator)
        cell = rng.randrange(len(cells))
        action = rng.randrange(7)
        if action == 0:
            del lines[row]
            continue
        if action == 1:
            lines.insert(row, lines[row])
            continue
        if action == 2:
            del cells[cell]
        elif action == 3:
            cells.insert(cell, rng.choice(cells))
        elif action == 4:
            cells[cell] += rng.choice(('"', "'", "\t", "\0", ";"))
        else:
            cells[cell] = str(rng.choice((*NUMBERS, *TEXTS)))
        lines[row] = separator.join(cells)
    return "\n".join(lines) + rng.choice(("\n", ""))


def encode(text: str, rng: random.Random) -> bytes:
    """Return text as UTF-8, and now and then in another encoding."""
    encoding = rng.choice(ENCODINGS) if rng.random() < 0.08 else "utf-8"
    return text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
