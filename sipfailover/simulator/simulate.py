"""The verb `simulate`: reads a scenario and one or more configurations, rehearses, and shows what came of it.

Each configuration is a process of its own, so two of them take no longer than one where there are two cores.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import typer

from sipfailover.config import load
from sipfailover.errors import ConfigError, Problem, TransportError
from sipfailover.simulator.figures import Result, as_json, result
from sipfailover.simulator.page import page
from sipfailover.simulator.rehearsal import Rehearsal, check_names
from sipfailover.simulator.scenario import Scenario, load_scenario
from sipfailover.simulator.tell import lines

COMPARED_MAX = 8
"""Configurations side by side."""
EXIT_BROKEN = 1


def main(
    file: str,
    configs: Sequence[str],
    *,
    seed: int | None = None,
    json_file: str | None = None,
    html: str | None = None,
    story: bool = False,
) -> int:
    """Rehearse, print and write. Returns the exit code: 1 if a rule was broken. Raises ConfigError with all problems,
    TransportError if a file cannot be written."""
    if len(configs) > COMPARED_MAX:
        raise ConfigError((Problem("sipfailover", 0, 0, "", f"at most {COMPARED_MAX} configurations side by side"),))
    document = load_scenario(file)
    for config in configs:
        check_names(document, load(config), config)
    scenario = document.value
    if not scenario.title:
        scenario = scenario.model_copy(update={"title": Path(file).stem})
    results = rehearse_all(scenario, configs, seed)
    for line in lines(results, long=story):
        typer.echo(line)
    if json_file:
        write(json_file, json.dumps([as_json(one) for one in results], indent=1, ensure_ascii=False) + "\n")
    if html:
        write(html, page(results))
    return EXIT_BROKEN if any(one.figures.broken for one in results) else 0


def rehearse_all(scenario: Scenario, configs: Sequence[str], seed: int | None) -> list[Result]:
    """One rehearsal for each configuration, in its order."""
    names = short_names(configs)
    if len(configs) == 1:
        return [result(Rehearsal(load(configs[0]), scenario, seed=seed, name=names[0]).run(_progress))]
    with ProcessPoolExecutor(max_workers=min(len(configs), 4)) as pool:
        return list(pool.map(_rehearse, configs, [scenario] * len(configs), [seed] * len(configs), names))


def _rehearse(config: str, scenario: Scenario, seed: int | None, name: str) -> Result:
    return result(Rehearsal(load(config), scenario, seed=seed, name=name).run())


def short_names(configs: Sequence[str]) -> list[str]:
    """The files' names without folder and ending, where that tells them apart."""
    short = [Path(config).stem for config in configs]
    return short if len(set(short)) == len(short) else list(configs)


def _progress(share: float) -> None:
    """On a terminal: how far it is."""
    if sys.stderr.isatty():
        end = "\r\x1b[K" if share >= 1.0 else f"\r{share:4.0%} "
        print(end, end="", file=sys.stderr, flush=True)


def write(file: str, text: str) -> None:
    """Write a file whole. Raises TransportError."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise TransportError(file, "write", error.strerror or str(error)) from error
