"""The command line as it is typed: spellings of options."""
