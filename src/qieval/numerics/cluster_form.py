"""Products of residualised columns, cluster by cluster, without residualising a column for every cluster.

For columns a, b and clusters g, h the form J[g, h] = (a 1_g)' W M (b 1_h), where M removes unit effects,
time effects and covariates, follows from sums over cluster x unit and cluster x period cells: J is a
sparse part (the diagonal, if every unit lies in one cluster) minus a product of low rank. Wild bootstrap
and permutation draws are then products with G x (periods + covariates) matrices, whatever the number of
rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from qieval.numerics.absorb import Within
from qieval.numerics.two_way import Codes, Floats, sums, table


@dataclass(frozen=True, eq=False, repr=False)
class ClusterForm:
    """J = own - left' right; own (G, G) sparse, left and right (r, G)."""

    own: scipy.sparse.csr_array
    left: Floats
    right: Floats

    def dense(self) -> Floats:
        """J as an array (G, G)."""
        return np.asarray(self.own.toarray() - self.left.T @ self.right)

    def times(self, weights: Floats) -> Floats:
        """J v for each row v of weights (m, G) -> (m, G)."""
        return np.asarray((self.own @ weights.T).T - (weights @ self.right.T) @ self.left)


def cluster_form(base: Within, clusters: Codes, n_clusters: int, a: Floats, b: Floats) -> ClusterForm:
    """The form J of columns a and b (n,); clusters (n,) are codes 0..n_clusters-1 of the rows used."""
    first = _parts(base, clusters, n_clusters, a)
    second = first if b is a else _parts(base, clusters, n_clusters, b)
    together = sums(clusters, base.rows.weighted(a) * b, n_clusters)
    per_unit = scipy.sparse.diags_array(1.0 / base.rows.unit_weight, format="csr")
    own = scipy.sparse.diags_array(together, format="csr") - first[0] @ per_unit @ second[0].T
    return ClusterForm(scipy.sparse.csr_array(own), first[1], second[1])


def _parts(
    base: Within, clusters: Codes, n_clusters: int, column: Floats
) -> tuple[scipy.sparse.csr_array, Floats]:
    """Cluster x unit sums of a column, and the half-products of its pieces with time and covariates."""
    rows = base.rows
    values = rows.weighted(column)
    by_unit = table((clusters, rows.unit), (n_clusters, rows.n_units), values)
    by_time = table((clusters, rows.time), (n_clusters, rows.n_times), values)
    shared = by_unit @ scipy.sparse.diags_array(1.0 / rows.unit_weight, format="csr") @ rows.cells
    half = rows.time_solver.half_solve(np.asarray((by_time - shared).toarray()).T)
    if base.x.shape[0]:
        moments = np.array([sums(clusters, values * x, n_clusters) for x in base.x])
        half = np.vstack([half, scipy.linalg.solve_triangular(base.gram_factor, moments, lower=True)])
    return by_unit, half
