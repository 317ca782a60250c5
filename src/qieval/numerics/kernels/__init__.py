"""Compiled inner loops (numba). Importing a module of this folder costs half a second: import it in the function
that needs it."""
