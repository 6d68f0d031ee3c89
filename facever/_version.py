"""The version of this package, alone: nothing has to import the package's root for it."""

__version__ = "0.2.0"
