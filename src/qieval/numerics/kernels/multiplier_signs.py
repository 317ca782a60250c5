"""Inner loop of the multiplier bootstrap: many sums with random signs at once."""

import numpy as np
from numba import njit

from qieval.numerics.two_way import Floats

BITS = 8


@njit(cache=True, nogil=True)
def add_signed(rows: Floats, bits: np.ndarray, out: Floats) -> None:
    """Add to out (B, k) the sums of rows (n, k) with the signs of each draw.

    bits (ceil(n / 8), B) of type uint8: bit j of bits[g, b] is set where draw b takes row 8 g + j with a
    plus. For eight rows at a time all 256 signed sums are made once, each from one before it by turning one
    sign, and draws look theirs up.
    """
    n, k = rows.shape
    table = np.empty((1 << BITS, k))
    for group in range(bits.shape[0]):
        start = group * BITS
        held = min(BITS, n - start)
        for c in range(k):
            table[0, c] = 0.0
        for j in range(held):
            for c in range(k):
                table[0, c] -= rows[start + j, c]
        for j in range(held):
            step = 1 << j
            for entry in range(step):
                for c in range(k):
                    table[step + entry, c] = table[entry, c] + 2.0 * rows[start + j, c]
        mask = (1 << held) - 1
        for b in range(bits.shape[1]):
            entry = bits[group, b] & mask
            for c in range(k):
                out[b, c] += table[entry, c]
