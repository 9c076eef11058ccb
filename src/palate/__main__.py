"""``python -m palate``: the same as the command ``palate``; what torchrun starts (docs/processes.md)."""

from palate.cli.main import main

if __name__ == "__main__":
    main()
