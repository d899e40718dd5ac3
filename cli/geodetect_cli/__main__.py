"""``python -m geodetect_cli``."""

from geodetect_cli.app import main

main()
