"""Which release of convbench is this?"""


def installed_version() -> str:
    """The version of the installed package, as text.

    Example:
        >>> import convbench as cb
        >>> cb.__version__.count(".")
        2
    """
    from importlib.metadata import PackageNotFoundError, version  # here: it would slow down --help

    try:
        return version("convbench")
    except PackageNotFoundError:  # run from a tree that was never installed
        return "0+unknown"
