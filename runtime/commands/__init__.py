"""The sub-commands that only need the lean runtime."""
