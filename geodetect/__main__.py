"""``python -m geodetect``: the program ``geodetect``."""

from geodetect_cli.app import main

if __name__ == "__main__":
    main()
