"""convbench doctor: what about this machine makes timings noisy, and what can be changed?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from convbench.cli import options
from convbench.cli.outputs import check_outputs, is_shown, tell, write
from convbench.device import find_device
from convbench.errors import ConvbenchError

if TYPE_CHECKING:
    from convbench.cli.settings import OptionDefaults

EXAMPLE = "\b\nExample:\n  convbench doctor"


def doctor(
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="cpu; cuda or cuda:1 for that GPU as well.")
    ] = "cpu",
    threads: options.Threads = 0,
    bundle: Annotated[
        str | None, typer.Option("--bundle", metavar="FILE", help="Write what a bug report needs, and show it first.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Find what disturbs timings on this machine.

    Checks load, clocks, threads and the GPU, and says what to change; it changes nothing itself. Verdicts come from
    ratios within a round, so a disturbance costs time and leaves cases undecided, but does not bias verdicts.

    It also shows which defaults a settings file sets: convbench.toml, or [tool.convbench] in pyproject.toml.

    Linux, or WSL on Windows, runs all of convbench; macOS runs everything except isolation. On Windows itself,
    isolation, bench, tune, model --race, compare --rerun, ran and explain --interactive are not available.
    """
    check_outputs({"--bundle": bundle}, overwrite=overwrite)
    settings = _settings()
    devices = [find_device(name) for name in options.choose_devices([device])]

    from convbench.bench.doctor import examine
    from convbench.cli.catalogue import show_table
    from convbench.session import set_threads

    count = set_threads(threads)

    if is_shown():
        tell("checking load, clocks and CPUs for a few seconds")
    accelerators = [one for one in devices if not one.on_host]
    chosen = accelerators[0] if accelerators else find_device("cpu")
    findings = list(examine(chosen, count))
    rows = [("info", "settings", settings, ""), *((one.word, one.what, one.found, one.advice) for one in findings)]
    show_table(("", "what", "found", "what to do"), rows, prose=2)
    if bundle is not None:
        from convbench.bundle import bundle as make_bundle
        from convbench.cli.bench import RESULTS

        text = make_bundle(chosen, count, findings, RESULTS)
        if bundle != "-":
            typer.echo(f"\n{text}", err=True)
        write(bundle, text, overwrite=overwrite)


def _settings() -> str:
    """The settings file of this folder and what it sets for each command.

    Raises:
        ConvbenchError: it has an unknown key or a bad value, for whichever command.
    """
    from convbench.cli import make_app
    from convbench.cli.settings import FILES, find_settings

    found = find_settings()
    if found is None:
        return f"no {FILES[0]}, and no [tool.convbench] in a {FILES[1]}, here or above"
    app: Any = typer.main.get_command(make_app())
    sets = {}
    for name, command in app.commands.items():
        defaults = found.defaults(name, command, ())
        sets[name] = defaults.words
        if defaults.words:
            _parse(name, command, defaults)
    told = "; ".join(f"{name} {' '.join(words)}" for name, words in sets.items() if words)
    return f"{found.name}: {told or 'sets nothing'}"


def _parse(name: str, command: Any, defaults: "OptionDefaults") -> None:
    """Raise if the command would not take these defaults."""
    from convbench.cli.usage import reason

    words = list(defaults.words)
    needed = [one for one in command.params if one.param_type_name == "argument" and one.required]
    try:
        command.make_context(name, [*words, *("x" for _ in needed)])
    except Exception as error:
        if not hasattr(error, "format_message"):  # as in convbench.cli: typer keeps its class to itself
            raise
        said = reason(error, [name, *words])
        raise ConvbenchError(said + defaults.blamed(said)) from None
