"""The time that files hold in place of that of writing: the same table makes the same bytes."""

STAMP = "2000-01-01T00:00:00.000Z"
