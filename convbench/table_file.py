"""How is a table read that another program has saved: compressed, in another encoding, with semicolons?"""

import re

_COMPRESSED, _ARCHIVE = b"\x1f\x8b", b"PK\x03\x04"
_WIDE = (b"\xff\xfe", b"\xfe\xff")
_SAVE = "save it as CSV UTF-8, with commas"
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+([eE][+-]?\d+)?)")


def table_text(data: bytes, most_nbytes: int) -> str:
    """The text of a table: unpacked, from UTF-8 or UTF-16, without a byte order mark.

    Raises:
        ValueError: what it is otherwise, with what to do; or it unpacks to more than `most_nbytes`.
    """
    if data.startswith(_COMPRESSED):
        data = _unpacked(data, most_nbytes)
    if data.startswith(_ARCHIVE):
        raise ValueError(f"it is a workbook or another zip archive; {_SAVE}")
    wide = data.startswith(_WIDE)
    if not wide and b"\0" in data[:100]:
        raise ValueError(f"it is binary, or UTF-16 without a byte order mark; {_SAVE}")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")  # a spreadsheet puts its mark before the first column
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not {'UTF-16' if wide else 'UTF-8'}; {_SAVE}") from None


def _unpacked(data: bytes, most_nbytes: int) -> bytes:
    import gzip
    import io
    import zlib

    try:
        with gzip.open(io.BytesIO(data)) as packed:
            found: bytes = packed.read(most_nbytes + 1)
    except (OSError, EOFError, zlib.error):
        raise ValueError("its gzip data is damaged; unpack it with gunzip to see how far it can be read") from None
    if len(found) > most_nbytes:
        raise ValueError(f"it unpacks to more than {most_nbytes:,} bytes")
    return found


def delimiter_of(header: str) -> str:
    """What separates the cells: a semicolon or a tab where the first line has more of it than commas."""
    return max(",;\t", key=header.count)


def decimal_points(cell: str) -> str:
    """The numbers of a cell (one, or several with spaces between) with decimal points for commas; other text as it is.

    Only where commas do not separate cells is a comma within a number certain to be a decimal one: convbench groups no
    digits.
    """
    words = cell.split(" ")
    found = [_DECIMAL_COMMA.sub(r"\1.\2", word) if _DECIMAL_COMMA.fullmatch(word) else word for word in words]
    return " ".join(found)
