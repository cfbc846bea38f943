"""CSV files as people write them: any delimiter, cells of any length."""

import csv

DELIMITERS = ",;\t|"

csv.field_size_limit(2**31 - 1)  # Python's default is less than some texts have


def find_delimiter(header: str) -> str:
    """Return the delimiter that is most frequent in a header outside quotes; a comma if there is none.

    >>> find_delimiter('"a,b";c')
    ';'
    """
    unquoted = "".join(header.split('"')[::2])
    return max(DELIMITERS, key=unquoted.count) if any(map(unquoted.count, DELIMITERS)) else ","
