"""How alike groups are in what was measured: the balance table, for any weights."""

from qieval.covariate_balance.compared import balance_of, scores_of
from qieval.covariate_balance.table import UNMEASURED, BalanceTable, balance, score_table

__all__ = ["UNMEASURED", "BalanceTable", "balance", "balance_of", "score_table", "scores_of"]
