"""What each step shows, as HTML: aggregates and names of columns, never rows or values of people."""

import dataclasses
import textwrap
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

import qieval as qe
from qi_notebooks import live_charts, look
from qi_notebooks.drawing import filled
from qi_notebooks.study import Study

COLUMN_WORDS = {
    "estimate": "effect",
    "std_error": "standard error",
    "conf_low": "interval from",
    "conf_high": "to",
    "p_value": "p",
}
PART_WORDS = {
    "label": "group",
    "largest_difference": "largest difference between the groups",
    "p_equal": "p that all have the same effect",
}
PANEL_WORDS = {
    "largest_difference": "largest difference left",
    "treated_used": "treated",
    "comparison_effective": "effective comparison size",
    "estimand": "speaks for",
    "gap_before": "root mean squared gap before",
    "rank": "rank",
    "units": "among units",
    "averaged": "averages",
    "rows_used": "rows used",
    "units_compared": "units compared with",
    "share_negative": "share with negative weight",
}
ROUNDED = ("largest_difference", "gap_before", "share_negative")
TERM_WORDS = {
    "ATT": "average effect on the treated (ATT)",
    "ATT, group": "ATT, by cohort, then over cohorts",
    "ATT, simple": "ATT, all treated units and periods alike",
    "ATT, dynamic": "ATT, by time since the start",
    "ATT, calendar": "ATT, by calendar period",
    "group rate ratio": "rate ratio, by cohort, then over cohorts",
    "simple rate ratio": "rate ratio, all treated units and periods alike",
    "dynamic rate ratio": "rate ratio, by time since the start",
    "calendar rate ratio": "rate ratio, by calendar period",
}
TOO_FEW = look.note(
    "Not shown, because a group holds fewer than 10 people: its mean would tell about single ones."
)
SEEN_FIRST = ("reduced form", "first stage")
"""How the terms of what goes with an instrument begin."""
THEN = (
    "What follows if the instrument acts only through the intervention, and moves nobody the other way. The "
    "last row is the ordinary comparison, which makes neither assumption but takes all that matters as "
    "measured."
)
SAID_ABOVE = ("what changed", "signals")
"""Facts of a chart that its headline tells."""
BEYOND_THE_TREND = "change beyond the expected trend"
ONE_TERM = (qe.SeriesDesign, qe.RowDesign, qe.RolloutDesign, qe.BeforeAfter)
"""Designs of whose effects only the first is shown beside altered designs."""
SMALLEST_P = 0.0001
LABEL_WIDTH = 44
"""Letters of a label in one line of a picture."""
KIND_WORDS = {"binary": "two values", "numeric": "numbers", "time": "time", "any": "text"}


def data(study: Study) -> str:
    """Size, columns, missing values, warnings and notes of the data."""
    held = study.data
    if held is None:
        return ""
    frame = held.frame if isinstance(held, qe.Extract) else held
    described = qe.data.describe(frame)
    rows, columns = frame.shape
    empty = described[described["missing"] > 0]
    lacking = (
        "No value is missing."
        if empty.empty
        else f"Columns with missing values: {', '.join(_shares(empty))}."
    )
    size = f"{rows:,} rows and {columns:,} columns"
    source = f", from {held.source}" if isinstance(held, qe.Extract) else ""
    body = qe.markup.paragraph(f"{size}{source}. {lacking}")
    suspicious = described[described["suspicious"] != ""]
    said = [
        f"{row.column}: {row.suspicious}. Replace identifiers by pseudonyms first."
        for row in suspicious.itertuples()
    ]
    body += look.problems(said)
    if isinstance(held, qe.Extract):
        body += qe.markup.bullets(held.notes)
    table = qe.markup.rows_table(("column", "holds", "missing", "different values"), _columns(described))
    return _card(body + look.folded("The columns", table))


def checks(made: qe.Checks, title: str, few: bool = False) -> str:
    """Each check as a line with its verdict that opens to its table and picture.

    few: whether a group holds so few people that means of a group must not be shown.
    """
    parts = []
    for check in tqdm(made, desc="drawing", leave=False, delay=1):
        said = f"<b>{qe.markup.escape(_capital(check.name))}</b>. {qe.markup.escape(check.text)}"
        summary = f"{qe.markup.badge(check.verdict)} {said}"
        evidence = TOO_FEW if few and check.picture == "trends" else _evidence(check)
        parts.append(look.folded(summary, evidence) if evidence else f"<div class='qi-line'>{summary}</div>")
    return qe.markup.card(title, "".join(parts))


def estimate(result: qe.Result, *, headline: bool = True) -> str:
    """Headline, overall estimates, notes and how the estimate stands to the protocol.

    headline: False where the headline and how it stands to the protocol are shown above already.
    """
    body = ""
    if headline:
        body = qe.markup.paragraph(result.headline, "qieval-headline") + standing(result)
    table = result.estimates
    if table is not None:
        overall = table.loc[table["at"].isna()].drop(columns="at").dropna(axis="columns", how="all")
        body += _estimates_table(overall, _called(result.design))
    return _card(body + qe.markup.bullets(result.notes)) + _parts(result)


def by_instrument(result: qe.Result) -> str:
    """The headline, what goes with the instrument, and then the effect that follows from it."""
    table = filled(result.estimates)
    seen = table["term"].str.startswith(SEEN_FIRST)
    body = qe.markup.paragraph(result.headline, "qieval-headline") + standing(result)
    first = table[seen].drop(columns="at").dropna(axis="columns", how="all")
    if len(first):
        card = _estimates_table(first, "association")
        body += qe.markup.card("What was seen: the outcome and the uptake go with the instrument", card)
    then = dataclasses.replace(result, estimates=table[~seen].reset_index(drop=True))
    return body + look.note(THEN) + estimate(then, headline=False)


def _parts(result: qe.Result) -> str:
    """The effects in subgroups and those of every restart of a search, where there are some."""
    titles = {
        "subgroups": "Effects in subgroups",
        "restarts": "The estimate of every restart: what another search might have given",
    }
    held = {title: getattr(result.kernel, name, None) for name, title in titles.items()}
    return "".join(
        qe.markup.card(title, _estimates_table(table.rename(columns=PART_WORDS)))
        for title, table in held.items()
        if table is not None
    )


def signals(result: qe.Result) -> str:
    """What a chart says: its signals, its lines, the points of each signal, how runs were judged, notes."""
    body = qe.markup.paragraph(result.headline, "qieval-headline") + live_charts.lines(result)
    listed = live_charts.signals(result)
    body += look.folded("The points of the signals", listed) if listed else ""
    known: Any = result.facts
    facts = [(name, _fact(held)) for name, held in known.items() if name not in SAID_ABOVE]
    body += look.folded("How runs and limits were judged", qe.markup.rows_table(("what", "value"), facts))
    return _card(body + qe.markup.bullets(result.notes)) + pictures(result)


def _fact(held: object) -> str:
    return qe.markup.words(held) or str(held)


def standing(result: qe.Result) -> str:
    """Whether the design is as locked; each change since is named."""
    said = f"Protocol: {result.standing}."
    if result.protocol is not None and not result.changes:
        return look.good(said)
    return look.problems([said])


def pictures(result: qe.Result, few: bool = False) -> str:
    """All pictures of a result; none when a group holds so few people that its mean would tell about them."""
    if few:
        return TOO_FEW
    drawn = qe.plots_of(result)
    return "".join(look.picture(plot, f"{_capital(name)}. {result.headline}") for name, plot in drawn.items())


def variation(made: qe.Variation) -> str:
    """Estimates under altered designs, as a picture and a table.

    Of several effects of one design the first is shown where they are measured in different units.
    """
    if isinstance(made.design, ONE_TERM):
        made = _first_term(made)
    shown = made.table.drop(columns=["std_error", "p_value"], errors="ignore")
    fields = [name for name in shown.columns if name in qe.fields_of(type(made.design))]
    shown = shown.drop(columns=fields).rename(columns={"label": "design"})
    if shown["term"].nunique() <= 1:
        shown = shown.drop(columns="term")
    if (shown["note"] == "").all():
        shown = shown.drop(columns="note")
    alike = _drawable(made)
    estimated = "estimate" in alike.table and alike.table["estimate"].notna().any()
    drawn = (
        look.picture(qe.plot(alike), "Estimates under altered designs, the design as stated first.")
        if estimated
        else ""
    )
    table = _estimates_table(shown, _called(made.design))
    return drawn + qe.markup.card("Estimates under altered designs", table)


def side_by_side(made: qe.SideBySide) -> str:
    """Other methods beside the one of the design, with the balance or the fit that each of them reaches."""
    gone = ["std_error"] if "rank" in made.table or "rows_used" in made.table else ["std_error", "p_value"]
    gone += [] if "rows_used" in made.table and made.table["term"].nunique() > 1 else ["term"]
    table = made.table.drop(columns=gone, errors="ignore")
    if (table["note"] == "").all():
        table = table.drop(columns="note")
    table = table.dropna(axis="columns", how="all")
    rounded = table.assign(**{name: table[name].round(3) for name in ROUNDED if name in table})
    shown = rounded.rename(columns=PANEL_WORDS).rename(columns={"label": "method"})
    drawn = ""
    if made.table["estimate"].notna().any():
        drawn = look.picture(qe.plot(made), "Estimates by other methods.")
    body = _estimates_table(shown) + qe.markup.bullets(made.notes)
    return drawn + qe.markup.card(made.title, body)


def _first_term(made: qe.Variation) -> qe.Variation:
    """Only the first effect of each design, and the designs without any."""
    table = made.table
    if isinstance(made.design, qe.BeforeAfter) and "expected_change" in table:
        return dataclasses.replace(made, table=_beyond_the_trend(table))
    if isinstance(made.design, qe.RowDesign):
        # The first effect of each design is the one of its headline; its name says how its interval is made.
        return dataclasses.replace(made, table=table.drop_duplicates("label").reset_index(drop=True))
    first = table["term"].isna() | (table["term"] == table["term"][0]) if "term" in table else slice(None)
    return dataclasses.replace(made, table=table.loc[first].reset_index(drop=True))


def _beyond_the_trend(table: pd.DataFrame) -> pd.DataFrame:
    """Of each design the change beyond what would have come anyway, where it has one, else the change."""
    wanted = table.assign(last=table["term"] != BEYOND_THE_TREND).sort_values("last", kind="stable")
    return wanted.drop_duplicates("label").sort_index().drop(columns="last").reset_index(drop=True)


def _drawable(made: qe.Variation) -> qe.Variation:
    """Only the rows with the outcome of the design, since others are measured in other units; long labels in
    several lines."""
    table = made.table
    if "outcome" in table:
        table = table[table["outcome"].isna()].reset_index(drop=True)
    broken = [textwrap.fill(str(words), LABEL_WIDTH) for words in table["label"]]
    return dataclasses.replace(made, table=table.assign(label=broken))


def _called(design: qe.Design) -> str:
    """What an estimate is: a change before and after is no effect."""
    return "change" if isinstance(design, qe.BeforeAfter) else COLUMN_WORDS["estimate"]


def _estimates_table(frame: pd.DataFrame, called: str = COLUMN_WORDS["estimate"]) -> str:
    """A table of estimates with headings and p-values that a person reads."""
    shown = frame.rename(columns={**COLUMN_WORDS, "estimate": called})
    if "p" in shown:
        shown["p"] = ["below 0.0001" if p < SMALLEST_P else p for p in shown["p"]]
    if "term" in shown:
        shown["term"] = [TERM_WORDS.get(term, term) for term in shown["term"]]
    return qe.markup.frame_table(shown)


def _evidence(check: qe.Check) -> str:
    """The picture of a check with its numbers folded away, or the table alone."""
    if check.table is None:
        return ""
    table = qe.markup.frame_table(_dated(check.table))
    if check.picture is None:
        return table
    return look.picture(qe.plot(check), check.text) + look.folded("The numbers", table)


def _dated(table: pd.DataFrame) -> pd.DataFrame:
    """Dates without an empty time of day."""
    dates = table.select_dtypes("datetime")
    return table.assign(**{str(name): dates[name].dt.strftime("%Y-%m-%d") for name in dates})


def _columns(described: pd.DataFrame) -> list[tuple[object, ...]]:
    held = zip(
        described["column"],
        [KIND_WORDS[kind] for kind in described["kind"]],
        [f"{share:.1%}" if share else "none" for share in described["missing_share"]],
        described["distinct"].tolist(),
        strict=True,
    )
    return list(held)


def _shares(empty: pd.DataFrame) -> list[str]:
    return [f"{row.column} ({row.missing_share:.1%})" for row in empty.itertuples()]


def _card(body: str) -> str:
    return f"<style>{qe.markup.STYLE}</style><div class='qieval-card'>{body}</div>"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
