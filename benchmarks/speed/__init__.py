"""Time that commands and steps take."""
