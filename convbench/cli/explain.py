EXAMPLE="x"
def explain() -> None:
    """x"""
