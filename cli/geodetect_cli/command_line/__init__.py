"""The command line: what is typed, completed and answered, how a command ends, and its log."""
