"""Counts read like sentences: 1 pool, 887 pools."""

from __future__ import annotations

import pytest

from geodetect.noun import Noun, list_class_counts


@pytest.mark.parametrize(
    ("name", "singular", "plural"),
    [
        ("pool", "pool", "pools"),
        ("Pools", "pool", "pools"),
        ("swimming_pool", "swimming pool", "swimming pools"),
        ("SolarPanel", "solar panel", "solar panels"),
        ("bus", "bus", "buses"),
        ("houses", "house", "houses"),
        ("boxes", "box", "boxes"),
        ("city", "city", "cities"),
        ("person", "person", "people"),
        ("aircraft", "aircraft", "aircraft"),
        ("glass", "glass", "glasses"),
        ("piscine", "piscine", "piscines"),
        ("bateaux", "bateau", "bateaux"),
        ("PV", "PV", "PVs"),
        ("object", "object", "objects"),
        ("3", "object", "objects"),
        ("", "object", "objects"),
    ],
)
def test_a_class_gives_its_noun(name: str, singular: str, plural: str):
    assert Noun.from_classes([name]) == Noun(singular, plural)


def test_several_classes_are_objects_and_spellings_of_one_are_not():
    assert Noun.from_classes(["pool", "tree"]).plural == "objects"
    assert Noun.from_classes(["pool", "Pool", "pools"]).plural == "objects"
    assert Noun.from_classes(["pool", "Pool"]).plural == "pools"
    assert Noun.from_classes([]).plural == "objects"


def test_a_number_has_the_right_form():
    noun = Noun.from_classes(["pool"])
    assert [noun.count(n) for n in (0, 1, 1887)] == ["0 pools", "1 pool", "1,887 pools"]


def test_counts_of_several_classes_are_one_text() -> None:
    assert list_class_counts({"car": 1, "swimming_pool": 66}) == "1 car, 66 swimming pools"
    assert list_class_counts({"object": 1_200}) == "1,200 objects"
    assert list_class_counts({}) == "nothing"
