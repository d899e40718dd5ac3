"""The only code that opens geodata."""
