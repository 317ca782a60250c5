"""Compiled inner loops (numba): imported inside the functions that need them, as that costs half a second."""
