"""The model of the small servers: a rule on the mean radius of a tumour, in plain Python.

A row is `[mean radius, mean texture, …]`; 0 is malignant and 1 benign, as in the breast cancer data set. Version 1 is good;
version 2 calls every row benign. So the answer itself tells which version served.
"""

import os

VERSION = os.environ.get("MODEL_VERSION", "1")


def predict(rows: list[list[float]], version: str = VERSION) -> list[int]:
    return [1 if version != "1" or row[0] < 15.0 else 0 for row in rows]
