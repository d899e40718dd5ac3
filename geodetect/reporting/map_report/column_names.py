"""Columns of addresses, parcels and permits, recognised by their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from geodetect.io.vector.features import require_column
from geodetect.reporting.drawing.layers import SHOWN
from geodetect.types import BoolArray

# Names without accents, blanks and signs, in English, French, Spanish, Portuguese, German and
# Italian, in the order of preference: an address is of more use in the street than a parcel.
ADDRESS_NAMES = (
    *("address", "addr", "fulladdress", "addrfull", "streetaddress", "siteaddress"),
    *("adresse", "adressecomplete", "adr", "adressebien", "libelleadresse"),
    *("direccion", "direccioncompleta", "domicilio", "endereco", "morada"),
    *("anschrift", "lage", "lagebezeichnung", "indirizzo", "adres", "adress"),
    *("street", "streetname", "addrstreet", "rue", "voie", "nomvoie", "calle", "rua", "via"),
    *("strasse", "str", "strassenname"),
)
PARCEL_NAMES = (
    *("parcel", "parcelid", "parcelno", "parcelnumber", "apn", "plot", "plotid", "lot"),
    *("parcelle", "idparcelle", "idparcelles", "numparcelle", "idu", "refcad", "refcadastrale"),
    *("referencecadastrale", "parcela", "idparcela", "refcatastral", "referenciacatastral"),
    *("lote", "matricula", "flurstueck", "flurstuck", "flurstuecksnummer", "flurstucksnummer"),
    *("flstkey", "flstnr", "parzelle", "parzellennummer", "particella", "mappale"),
)
PERMIT_NAMES = (
    *("permit", "permitid", "permitno", "permitnumber", "permitnr", "licence", "license"),
    *("permis", "numpermis", "numeropermis", "permisdeconstruire", "pc", "dp", "autorisation"),
    *("declaration", "numdp", "numpc", "licencia", "permiso", "expediente", "licenca", "alvara"),
    *("autorizacao", "genehmigung", "genehmigungsnummer", "baugenehmigung", "bewilligung"),
    *("aktenzeichen", "az", "permesso", "concessione"),
)
NO_PERMIT = (  # values that say that there is none, in the same languages
    *("no", "none", "false", "n", "0", "0.0", "-", "non", "sans", "aucun", "sin", "ninguno"),
    *("ninguna", "não", "sem", "nenhum", "nenhuma", "nein", "keine", "ohne", "senza", "nessuno"),
)
_PREFIXES = ("register", "before", "detection")  # that ``compare`` puts before names


def find_address(
    table: pd.DataFrame, name: str | None = None, *, rows: BoolArray | None = None
) -> str | None:
    """Return the column of addresses or of parcels; None if there is none.

    Of both, the one that more rows fill: new objects have no address in a register, but lie in a
    parcel.

    Args:
        table: A layer.
        name: Name of the column in any case; None: the usual names are tried.
        rows: ``bool[N]`` rows that matter most; None: all.

    Raises:
        InputError: There is no column ``name``.
    """
    if name is not None:
        return require_column(table, name, SHOWN, parameter="address_field")
    named = (_find_named(table, names) for names in (ADDRESS_NAMES, PARCEL_NAMES))
    columns = [column for column in named if column is not None]
    if rows is None:
        rows = np.ones(len(table), dtype=bool)
    counts = [int((is_filled(table[column]).to_numpy(bool) & rows).sum()) for column in columns]
    return columns[int(np.argmax(counts))] if columns else None


def find_permit(table: pd.DataFrame, name: str | None = None) -> str | None:
    """Return the column of permits; None if there is none.

    Args:
        table: A layer.
        name: Name of the column in any case; None: the usual names are tried.

    Raises:
        InputError: There is no column ``name``.
    """
    if name is not None:
        return require_column(table, name, SHOWN, parameter="permit_field")
    return _find_named(table, PERMIT_NAMES)


def has_permit(column: pd.Series[Any]) -> BoolArray:
    """Return True where a column of permits holds one: neither blank, nor "no", 0 or False."""
    texts = column.astype("string").fillna("").str.strip().str.casefold()
    return ~texts.isin(["", *NO_PERMIT]).to_numpy(bool)


def is_filled(column: pd.Series[str]) -> pd.Series[bool]:
    """Return True where a column holds more than blanks."""
    return column.notna() & (column.astype("string").fillna("").str.strip() != "")


def _find_named(table: pd.DataFrame, names: Iterable[str]) -> str | None:
    """Return the first column with one of these names that is filled in some row."""
    columns: dict[str, str] = {}
    for column in map(str, table.columns):
        letters = unicodedata.normalize("NFKD", column.lower().replace("ß", "ss"))
        folded = re.sub(r"[^a-z0-9]", "", letters)  # without accents, blanks and signs
        columns.setdefault(folded, column)
        for prefix in _PREFIXES:
            columns.setdefault(folded.removeprefix(prefix), column)
    candidates = (columns[name] for name in names if name in columns)
    return next((column for column in candidates if is_filled(table[column]).any()), None)
