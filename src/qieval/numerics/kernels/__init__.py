"""Compiled inner loops (numba): imported inside the functions that need them, since that costs half a second."""
