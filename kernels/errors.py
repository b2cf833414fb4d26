"""The errors a user can meet; the command line turns each into one line and exit code 2."""

from __future__ import annotations


class LipforgeError(Exception):
    """Base of every error that a wrong input or machine can cause: says what was given, what is allowed, what to do."""


class ConfigError(LipforgeError):
    """A configuration, spec or manifest value is not usable."""


class InputError(LipforgeError):
    """A file, array or stream that the user gave is not usable."""


class ExportError(LipforgeError):
    """A model could not be exported or its copy disagrees with the original."""


class BackendError(LipforgeError):
    """A device, runtime or kernel backend that was asked for is not there or failed."""


class MissingPackageError(LipforgeError):
    """An optional package is needed; the message holds the pip line that installs it."""
