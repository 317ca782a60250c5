"""How many clusters an interval needs: the rules of thumb that decide between kinds of inference."""

FEW_CLUSTERS = 60
"""Below this many clusters the cluster-robust t interval is too narrow: 20 to 50 are called few by Cameron
and Miller
(2015, section VI), and with 50 our simulations still reject a true null in 6% of panels
(docs/validation.md)."""

FEW_PER_ARM = 10
"""Below this many clusters in one arm it is too narrow, however many the other arm has (MacKinnon and Webb
2018)."""

TOO_FEW_PER_ARM = 5
"""Below this many clusters in one arm the wild cluster bootstrap fails too (MacKinnon and Webb 2018)."""


def reliable(clusters: int, smaller_arm: int) -> bool:
    """Whether the cluster-robust t interval may be relied on.

    >>> reliable(70, 20), reliable(70, 3), reliable(12, 6)
    (True, False, False)
    """
    return clusters >= FEW_CLUSTERS and smaller_arm >= FEW_PER_ARM
