"""``python -m swinkit`` is the command ``swinkit``."""

from .cli.main import main

if __name__ == "__main__":
    main()
