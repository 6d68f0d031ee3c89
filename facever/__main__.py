"""The command `facever`, also as `python -m facever`."""

from facever.cli.main import main

if __name__ == "__main__":
    main()
