"""Tests of the texts of errors and of the border to other libraries."""

import pytest

from geodetect.errors import InputError, LabelError, OutOfMemoryError, list_names, translate_errors


def test_a_long_list_of_names_is_its_first_names_and_a_count() -> None:
    names = [f"n{i}" for i in range(30_000)]
    assert list_names(names, limit=3) == "n0, n1, n2 and 29,997 more"
    assert list_names(names[:3], limit=3) == "n0, n1, n2"
    assert list_names([]) == ""


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("deep"), IndexError("i\nj")])
def test_any_error_of_another_library_is_one_line_of_the_given_class(error: Exception) -> None:
    with pytest.raises(LabelError) as raised, translate_errors("a.json: not read", LabelError):
        raise error
    assert str(raised.value).startswith("a.json: not read (")
    assert "\n" not in str(raised.value)


def test_errors_raised_on_purpose_pass_and_a_lack_of_memory_keeps_its_kind() -> None:
    with pytest.raises(InputError, match=r"^ours$"), translate_errors("x", LabelError):
        raise InputError("ours")
    with (
        pytest.raises(OutOfMemoryError, match="too little memory"),
        translate_errors("x", LabelError),
    ):
        raise MemoryError
