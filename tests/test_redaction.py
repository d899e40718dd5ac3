"""Secrets in addresses."""

from __future__ import annotations

import warnings

import pytest

from geodetect.errors import (
    GeodetectWarning,
    InputError,
    OutputError,
    RasterError,
    error_text,
)
from geodetect.redaction import redact

SECRET = "S3cr3t%2Fab+/=="


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://host/a/x.tif?sig={}", "https://host/a/x.tif"),
        ("https://host/x.tif?X-Amz-Credential=A&X-Amz-Signature={}&a=1", "https://host/x.tif"),
        ("HTTPS://host:8443/x.tif?{}", "HTTPS://host:8443/x.tif"),
        ("https://user:{}@host/x.tif", "https://host/x.tif"),
        ("https://token@host:80/x.tif#{}", "https://host:80/x.tif"),
        ("/vsicurl/https://user:{}@host/x.tif?a", "/vsicurl/https://host/x.tif"),
        ("/vsicurl/http://host/x.tif?sig={}", "/vsicurl/http://host/x.tif"),
        ("/vsicurl/https://host/x.tif%3Fsig={}", "/vsicurl/https://host/x.tif"),
        (
            "/vsicurl?max_retry=3&url=https%3A%2F%2Fhost%2Fx.tif%3Fsig%3D{}",
            "/vsicurl/https://host/x.tif",
        ),
        ("/vsicurl?url=https://host/x.tif?sig={}&use_head=no", "/vsicurl/https://host/x.tif"),
        ("/vsis3/bucket/x.tif?X-Amz-Signature={}", "/vsis3/bucket/x.tif"),
        ("/vsizip//vsicurl/https://host/a.zip?sig={}", "/vsizip//vsicurl/https://host/a.zip"),
        (
            "/vsizip/{{/vsicurl/https://host/a.zip?sig={}}}/x.tif",
            "/vsizip/{/vsicurl/https://host/a.zip}/x.tif",
        ),
        ("zip+https://host/a.zip?sig={}", "zip+https://host/a.zip"),
        ("s3://key:{}@bucket/x.tif", "s3://bucket/x.tif"),
        ("GTIFF_DIR:1:/vsicurl/https://h/x.tif?sig={}", "GTIFF_DIR:1:/vsicurl/https://h/x.tif"),
        ("https://host:80/a@2x.tif?sig={}", "https://host:80/a@2x.tif"),
        ("https://host/z.gpkg?sig={}|layername=a", "https://host/z.gpkg|layername=a"),
        ("WMS:https://host/wms?token={}", "WMS:https://host/wms"),
        ("PG:host=h user=u password={}", "PG:host=h user=u password=***"),
        ("AWS_SECRET_ACCESS_KEY={} is set", "AWS_SECRET_ACCESS_KEY=*** is set"),
        ("GET /x.tif?access_token={} HTTP/1.1", "GET /x.tif?access_token=*** HTTP/1.1"),
        ("Authorization: Bearer {}", "Authorization: Bearer ***"),
        ("<SignatureProvided>{}</SignatureProvided>", "<SignatureProvided>***</SignatureProvided>"),
        ("cannot open 'https://h/x.tif?sig={}'; retry", "cannot open 'https://h/x.tif'; retry"),
        ("no file (https://h/x.tif?sig={}): 403", "no file (https://h/x.tif): 403"),
        ("a https://h/x?sig={}, b https://h/y?sig={}", "a https://h/x, b https://h/y"),
    ],
)
def test_secrets_of_addresses_are_left_out(address: str, public: str) -> None:
    text = address.format(SECRET, SECRET)
    assert redact(text) == public
    assert redact(public) == public


@pytest.mark.parametrize(
    "text",
    [
        "tiles/what?a=1.tif", "me@home/x.tif", "C:\\x#1.tif", "design=5", "set `src_crs` = 2154",
        "https://host/x.tif", "/vsizip/a.zip/b.tif", "zone.gpkg|layername=a", "50 % of 3 = 1.5",
    ],
)  # fmt: skip
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("error", [InputError, RasterError, OutputError])
def test_errors_and_warnings_never_hold_a_secret(error: type[Exception]) -> None:
    text = f"/vsicurl/https://host/x.tif?sig={SECRET}: HTTP 403"
    assert str(error(text)) == "/vsicurl/https://host/x.tif: HTTP 403"
    assert SECRET not in repr(error(text))
    assert SECRET not in error_text(ValueError(text))
    with pytest.warns(GeodetectWarning) as caught:
        warnings.warn(text, GeodetectWarning, stacklevel=1)
    assert SECRET not in str(caught[0].message)
