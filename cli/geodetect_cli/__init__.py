"""The command line of geodetect."""
