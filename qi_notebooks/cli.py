"""The command line: `qieval`. Exit codes: 0 done, 1 a problem was found or something failed, 2 wrong use."""

import functools
import os
import shutil
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

# What takes time to import is imported by the command that needs it, so that --help answers at once.

OK, PROBLEM, INTERRUPTED = 0, 1, 130
CODES = "Exit codes: 0 done; 1 a problem was found or something failed; 2 wrong use."

app = typer.Typer(
    name="qieval",
    help="Evaluate changes in health care: guided notebooks, from routine data to a report.",
    epilog=CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def readable(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command show deliberate errors, and those of files, as text on stderr with exit code 1."""

    @functools.wraps(command)
    def guarded(*given: Any, **named: Any) -> None:
        """The command, ended with its message and no traceback where it cannot go on."""
        import qieval as qe

        try:
            command(*given, **named)
        except qe.QievalError as problem:
            typer.echo(str(problem), err=True)
            raise typer.Exit(PROBLEM) from problem
        except OSError as problem:
            if problem.filename is None:
                raise
            typer.echo(f"{problem.filename}: {problem.strerror}", err=True)
            raise typer.Exit(PROBLEM) from problem
        except KeyboardInterrupt:
            typer.echo("Stopped.", err=True)
            raise typer.Exit(INTERRUPTED) from None

    return guarded


@app.command()
@readable
def lab(
    port: Annotated[
        int | None, typer.Option(envvar="QIEVAL_PORT", help="Port; by default 8888 or the next that is free.")
    ] = None,
    no_browser: Annotated[
        bool,
        typer.Option("--no-browser", envvar="QIEVAL_NO_BROWSER", help="Only print the address."),
    ] = False,
    directory: Annotated[Path, typer.Option(file_okay=False, help="Folder to work in.")] = Path(),
) -> None:
    """Open JupyterLab on the start page.

    The start page and the templates are copied into the folder qieval-studies, where they are yours to
    change; a notebook that is already there is left as it is. Stop with Ctrl-C.
    """
    from qi_notebooks import lab as server

    new = server.prepare(directory)
    if new:
        typer.echo(f"Copied into {directory / server.STUDIES}: {', '.join(path.name for path in new)}")
    words = server.command(directory, port=port, browser=not no_browser)
    raise typer.Exit(server.serve(words, server.environment(os.environ)))


@app.command()
@readable
def methods() -> None:
    """List the methods and the questions they answer."""
    import qieval as qe

    tracks = {
        "TO EVALUATE A CHANGE: DID IT WORK?": qe.CATALOGUE,
        "TO FOLLOW A MEASURE: HAS SOMETHING CHANGED? (NOT WHY)": qe.CHARTS,
    }
    for track, entries in tracks.items():
        typer.echo(f"{track}\n")
        for entry in entries:
            typer.echo(_entry(entry.stem, [entry.title, entry.question, f"Source: {entry.source}"]))
    typer.echo("Start a study with: qieval new METHOD --data FILE")


@app.command()
@readable
def examples() -> None:
    """List the example data sets and where they come from."""
    import qieval as qe

    for row in qe.data.examples().to_dict("records"):
        size = f"{row['rows']:,} rows, {row['columns']:,} columns"
        typer.echo(
            _entry(row["name"], [row["what"], size, f"Source: {row['source']}. Licence: {row['licence']}."])
        )
    typer.echo("Use one in Python with: qe.data.example(NAME)")


@app.command()
@readable
def new(
    method: Annotated[str, typer.Argument(metavar="METHOD", help="A method, as listed by `qieval methods`.")],
    data: Annotated[Path | None, typer.Option(dir_okay=False, help="Your data: CSV or Parquet.")] = None,
    out: Annotated[Path | None, typer.Option(help="The new notebook; by default METHOD.ipynb.")] = None,
) -> None:
    """Make a study notebook from the template of a method.

    With --data, columns are filled in where their names and contents tell their role. Nothing is overwritten.
    """
    from qi_notebooks import new_study

    study = new_study.create(method, data=data, out=out)
    typer.echo(f"Wrote {study.path}")
    for name, value in study.filled.items():
        typer.echo(f"  filled in  {name} = {value!r}")
    if study.left:
        typer.echo(_wrapped("left at the template's value: " + ", ".join(study.left), indent=2))
    typer.echo("Look at what was filled in before you use it: it was told from names and contents alone."
               if study.filled else "Nothing was filled in.")  # fmt: skip


@app.command()
@readable
def run(
    notebook: Annotated[Path, typer.Argument(metavar="NOTEBOOK", help="The study notebook.")],
    out: Annotated[Path, typer.Option(help="The report to write: .html or .md.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            "--parameter",
            metavar="NAME=VALUE",
            help="Set a parameter; may be repeated.",
        ),
    ] = None,
) -> None:
    """Run a study notebook and write its report.

    No screen is needed and the notebook is not changed. VALUE is read as JSON (2022, true, null,
    ["age", "sex"]), otherwise as text. If a cell fails, the cell and its error are shown, no report is
    written, and the exit code is 1.
    """
    from qi_notebooks import headless, parameters

    values = dict(parameters.parse(setting) for setting in parameter or [])
    headless.run(notebook, values, out)
    typer.echo(f"Wrote {out}")


@app.command("check-notebook")
@readable
def check_notebook(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Notebooks to look through.")],
) -> None:
    """Fail on what must not leave your hands in a notebook.

    Looks for outputs, execution counts, widget state, digits that pass the check of an NHS number, and UK
    postcodes. Prints file, cell and kind, never the value found.
    """
    from qi_notebooks import safety

    found = [f"{path}: {problem}" for path in files for problem in safety.check(path)]
    for line in found:
        typer.echo(line)
    if found:
        typer.echo(
            "Clear outputs by Edit > Clear Outputs of All Cells; remove identifiers by hand.", err=True
        )
        raise typer.Exit(PROBLEM)
    typer.echo("Nothing found.")


def _entry(name: str, paragraphs: Sequence[str]) -> str:
    """A name and its paragraphs, indented and wrapped to the terminal."""
    return "\n".join([name, *(_wrapped(paragraph, indent=4) for paragraph in paragraphs), ""])


def _wrapped(paragraph: str, *, indent: int) -> str:
    width = min(shutil.get_terminal_size().columns, 100)
    return textwrap.fill(paragraph, width, initial_indent=" " * indent, subsequent_indent=" " * indent)


def main() -> None:
    """The entry point `qieval`."""
    app()
