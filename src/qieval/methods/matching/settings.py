"""Words in which designs of matching state numbers: widths of calipers and points where covariates are
cut."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Width:
    """How far partners may lie apart: an amount in units of the covariate or in standard deviations.

    A negative amount means at least that far apart.
    """

    amount: float
    in_sd: bool


def width(said: str) -> Width:
    """A width from words. ValueError says what is wrong.

    >>> width("5"), width("0.25 sd")
    (Width(amount=5.0, in_sd=False), Width(amount=0.25, in_sd=True))
    """
    words = said.strip().lower()
    in_sd = words.endswith("sd")
    try:
        amount = float(words.removesuffix("sd"))
    except ValueError:
        raise ValueError(f"{said!r} is not a width. Write '5' for 5 units, or '0.25 sd'.") from None
    if amount == 0 or amount != amount:
        raise ValueError(f"{said!r} leaves no room. Put the covariate under exact= for equal values.")
    return Width(amount, in_sd)


def cut_points(said: str) -> tuple[float, ...] | int:
    """Points ('20, 30, 40') or a number of bins ('5 bins'). ValueError says what is wrong.

    >>> cut_points("20, 30"), cut_points("5 bins")
    ((20.0, 30.0), 5)
    """
    words = said.strip().lower()
    try:
        if words.endswith("bins"):
            bins = int(words.removesuffix("bins"))
            if bins < 1:
                raise ValueError
            return bins
        return tuple(sorted(float(part) for part in words.split(",")))
    except ValueError:
        raise ValueError(f"{said!r} are no points to cut at. Write '20, 30, 40', or '5 bins'.") from None
