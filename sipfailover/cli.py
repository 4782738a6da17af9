"""The verbs: `sipfailover run | check | profiles | schema | version | demo | simulate | healthcheck`, and what is done
with a service that runs: `reload | drain | use | hold | maintenance | release | resume`.

Each verb imports what it needs when it is called, so that `check` does not wait for the web server's libraries.
Exit codes: 0 good, 1 the service could not do it, 2 bad configuration or bad command line.
"""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sipfailover import __version__
from sipfailover.errors import ConfigError, Problem, SipfailoverError

if TYPE_CHECKING:
    from sipfailover.config import Settings

EXIT_FAILED = 1
EXIT_CONFIG = 2

EPILOG = "Exit codes: 0 good, 1 it could not be done, 2 bad configuration or command line."

app = typer.Typer(
    name="sipfailover",
    help="Keeps an office on the telephone: moves calls to the backup trunk when a carrier fails.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        envvar="SIPFAILOVER_CONFIG",
        show_default=False,
        help="The configuration. Default: /etc/sipfailover/sipfailover.yaml, then ./sipfailover.yaml.",
    ),
]


profiles_app = typer.Typer(rich_markup_mode=None, add_completion=False)
app.add_typer(profiles_app, name="profiles", epilog=EPILOG)
notify_app = typer.Typer(rich_markup_mode=None, add_completion=False, help="Messages by mail and webhook.")
app.add_typer(notify_app, name="notify", epilog=EPILOG)

JsonOption = Annotated[bool, typer.Option("--json", help="For programs: all of it as JSON.")]


@app.command(epilog=EPILOG)
def run(config: ConfigOption = None) -> None:
    """Run the service until SIGTERM or SIGINT; a second one ends it at once. SIGHUP reads the file again."""
    from sipfailover.config import find_file, load
    from sipfailover.serve import run as serve

    file = find_file(config)
    raise typer.Exit(serve(load(file), lambda: load(file)))


@app.command(epilog=EPILOG)
def check(
    config: ConfigOption = None,
    probe: Annotated[
        bool,
        typer.Option("--probe", help="Ask every carrier, step by step, what works. Costs nothing without --call."),
    ] = False,
    trunk: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="With --probe: this trunk only; may be given again.")
    ] = None,
    call: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            show_default=False,
            help="With --probe: call this number over each trunk, as your PBX would dial it, until it rings. "
            "The carrier may charge for it if somebody answers at once.",
        ),
    ] = "",
    caller: Annotated[
        str,
        typer.Option(
            metavar="NUMBER",
            show_default=False,
            help="With --call: the number to show. Default: the trunk's caller_id, else its username.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="With --probe: one JSON object with every step.")] = False,
) -> None:
    """Read the configuration and say what it means, or everything that is wrong with it."""
    from sipfailover.config import describe, find_file, load

    if not probe and (trunk or call or caller or as_json):
        raise typer.BadParameter("--trunk, --call, --caller and --json go with --probe")
    file = find_file(config)
    settings = load(file)
    for warning in settings.warnings:
        _say_problem(warning, "warning: ")
    if not as_json:
        typer.echo(f"{file}: good" + (f", {_count(len(settings.warnings), 'warning')}" if settings.warnings else ""))
    if probe:
        raise typer.Exit(_probe(settings, tuple(trunk or ()), call, caller, as_json))
    for line in describe(settings):
        typer.echo(f"  {line}")


def _probe(settings: "Settings", trunks: tuple[str, ...], call: str, caller: str, as_json: bool) -> int:
    """Ask the carriers. Returns the exit code."""
    from sipfailover import preflight

    known = [trunk.name for trunk in settings.trunks]
    if strange := [name for name in trunks if name not in known]:
        raise typer.BadParameter(f"there is no trunk '{strange[0]}', but {', '.join(known)}")
    if call and (why := preflight.objection(call, settings)):
        raise typer.BadParameter(why)
    fancy = sys.stdout.isatty() and (sys.stdout.encoding or "").lower().startswith("utf") and not as_json
    write = (lambda line: None) if as_json else _write_while_read
    sections = preflight.probe(settings, preflight.Wish(trunks, call, caller), write, fancy)
    told = preflight.as_json(sections)
    _write_while_read(json.dumps(told, indent=2, ensure_ascii=False) if as_json else preflight.summary(sections))
    return 0 if told["good"] else EXIT_FAILED


def _write_while_read(text: str) -> None:
    """Print, also when nobody reads it any more (`| head`): a check goes on to its end, which removes what it
    registered."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@profiles_app.callback(invoke_without_command=True)
def profiles(context: typer.Context, json_: JsonOption = False) -> None:
    """List the carrier profiles: what is known of a carrier, as a start for a trunk."""
    from sipfailover.profiles import as_json, find, names, table

    if context.invoked_subcommand is not None:
        return
    known = [profile for name in names() if (profile := find(name)) is not None]
    if json_:
        typer.echo(json.dumps([as_json(profile) for profile in known], indent=2, ensure_ascii=False))
        return
    for line in table(known):
        typer.echo(line)
    typer.echo("\nWrite 'profile: NAME' under a trunk. All of one: sipfailover profiles show NAME")


@profiles_app.command(name="show", epilog=EPILOG)
def profiles_show(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)], json_: JsonOption = False
) -> None:
    """Show one profile: every setting with its source, what is left to you, and lines to paste."""
    from sipfailover.profiles import as_json, find, page, unknown

    profile = find(name)
    if profile is None:
        raise ConfigError((Problem("sipfailover", 0, 0, "", unknown(name)),))
    if json_:
        typer.echo(json.dumps(as_json(profile), indent=2, ensure_ascii=False))
        return
    for line in page(profile):
        typer.echo(line)


@app.command(epilog=EPILOG)
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors.

    Save it beside the file and begin the file with "# yaml-language-server: $schema=./sipfailover.schema.json".
    """
    from sipfailover.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


@app.command(epilog=EPILOG)
def version() -> None:
    """Print the version."""
    typer.echo(f"sipfailover {__version__} (Python {sys.version.split()[0]})")


@app.command(epilog=EPILOG)
def healthcheck(url: Annotated[str | None, typer.Argument(metavar="[URL]", show_default=False)] = None) -> None:
    """Ask a running service whether it is healthy. Default: http://127.0.0.1:8080/healthz."""
    from sipfailover.healthcheck import main as probe

    raise typer.Exit(probe([url] if url else []))


@app.command(epilog=EPILOG)
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running afterwards, to play with.")] = False,
) -> None:
    """Watch a failover: the service, simulated telephones and two simulated carriers that fail, in under a minute."""
    from sipfailover.simulator.demo import main as play

    raise typer.Exit(play(keep=keep))


@app.command(epilog=EPILOG)
def simulate(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", show_default=False, help="What goes wrong: a YAML file.")
    ],
    config: ConfigOption = None,
    compare: Annotated[
        list[str] | None,
        typer.Option("--compare", metavar="FILE", help="Another configuration, side by side."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draw all chance from here instead of the scenario's seed.")] = None,
    json_file: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write everything there.")] = None,
    html: Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write a page with a timeline.")] = None,
    story: Annotated[bool, typer.Option("--story", help="Tell all that happened to the trunks.")] = False,
) -> None:
    """Rehearse an outage: what callers would live through, in virtual time, with this configuration."""
    from sipfailover.config import find_file
    from sipfailover.simulator.simulate import main as rehearse

    configs = [find_file(config), *(compare or [])]
    raise typer.Exit(rehearse(scenario, configs, seed=seed, json_file=json_file, html=html, story=story))


# -- with a service that runs -----------------------------------------------------------------------------------------

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="SIPFAILOVER_URL",
        metavar="URL",
        show_default=False,
        help="Where its page is. Default: as status.listen says.",
    ),
]
PidOption = Annotated[
    int | None,
    typer.Option("--pid", metavar="PID", show_default=False, help="Send it a signal instead: no token is needed."),
]
TrunkArgument = Annotated[str, typer.Argument(metavar="TRUNK", show_default=False)]
ForOption = Annotated[
    str,
    typer.Option("--for", metavar="TIME", help="How long, as in 90m or 2h; then it ends by itself. Or: resumed."),
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", show_default=False, help="For the history.")]


@app.command(epilog=EPILOG)
def reload(config: ConfigOption = None, url: UrlOption = None, pid: PidOption = None) -> None:
    """Put the file into effect while calls go on. A bad one is refused with what is wrong, and the old one stays.

    Says what changes, and for which calls.
    """
    import signal

    from sipfailover.config import find_file, load
    from sipfailover.remote import Remote, send_signal

    settings = load(find_file(config))
    if pid is not None:
        send_signal(pid, signal.SIGHUP)
        typer.echo(f"the file is good; process {pid} was asked to read it: its log and /status say what came of it")
        return
    status, answer = Remote.of(settings, url).ask("POST", "/-/reload")
    for line in answer.get("changes", []):
        typer.echo(line)
    for line in answer.get("problems", []):
        typer.echo(line, err=True)
    if status != 200:
        typer.echo("It was refused, and what ran before is still in effect.", err=True)
        raise typer.Exit(EXIT_CONFIG)
    if not answer.get("changes"):
        typer.echo("nothing has changed")


@notify_app.command(name="test", epilog=EPILOG)
def notify_test(config: ConfigOption = None) -> None:
    """Send a test message to everybody whom the file names under notify, and say how it went."""
    import asyncio

    from sipfailover.alerts import send_test
    from sipfailover.config import find_file, load

    settings = load(find_file(config))
    if not settings.notify:
        typer.echo("the file names nobody under notify", err=True)
        raise typer.Exit(EXIT_FAILED)
    found = asyncio.run(send_test(settings))
    for name, problem in found:
        typer.echo(f"{name}: {problem or 'delivered'}", err=bool(problem))
    raise typer.Exit(EXIT_FAILED if any(problem for _, problem in found) else 0)


@app.command(epilog=EPILOG)
def drain(config: ConfigOption = None, url: UrlOption = None, pid: PidOption = None) -> None:
    """Have the service take no new calls but those for help, finish what is being set up, and end."""
    import signal

    from sipfailover.remote import send_signal

    if pid is not None:
        send_signal(pid, signal.SIGTERM)
        typer.echo(f"process {pid} was asked to drain: its log says how that goes")
        return
    answer = _remote(config, url, "POST", "/-/drain")
    setting_up, calls, within = (answer.get(key, 0) for key in ("being_set_up", "calls", "ends_within_seconds"))
    typer.echo(f"draining: {_count(calls, 'call')}, {setting_up} of them being set up; it ends within {within:g} s")


@app.command(epilog=EPILOG)
def use(
    trunk: TrunkArgument, for_: ForOption = "1h", reason: ReasonOption = "", config: ConfigOption = None,
    url: UrlOption = None,
) -> None:  # fmt: skip
    """Have new calls go over this trunk first while it can take them, whatever its tier."""
    _order(trunk, "use", for_, reason, config, url)


@app.command(epilog=EPILOG)
def hold(for_: ForOption = "1h", reason: ReasonOption = "", config: ConfigOption = None, url: UrlOption = None) -> None:
    """Stay with the trunk that new calls take now: no return to a better one meanwhile."""
    answer = _remote(config, url, "POST", "/api/v1/hold", **{"for": for_, "why": reason})
    _told(answer)


@app.command(epilog=EPILOG)
def maintenance(
    trunk: TrunkArgument, for_: ForOption = "1h", reason: ReasonOption = "", config: ConfigOption = None,
    url: UrlOption = None,
) -> None:  # fmt: skip
    """Send no new calls to this trunk; those in progress go on, and calls for help may still take it."""
    _order(trunk, "maintenance", for_, reason, config, url)


@app.command(epilog=EPILOG)
def release(
    trunk: TrunkArgument, reason: ReasonOption = "", config: ConfigOption = None, url: UrlOption = None
) -> None:
    """Let a trunk that is Down come back as soon as it answers, without waiting for its time."""
    from sipfailover.remote import order_path

    _remote(config, url, "POST", order_path(trunk), order="release", why=reason)
    typer.echo(f"{trunk} need not wait: once it answers its checks, single calls try it")


@app.command(epilog=EPILOG)
def resume(trunk: TrunkArgument, reason: ReasonOption = "", config: ConfigOption = None, url: UrlOption = None) -> None:
    """End whatever was ordered for this trunk: all is as usual."""
    from sipfailover.remote import order_path

    _told(_remote(config, url, "DELETE", order_path(trunk), why=reason))


def _order(trunk: str, order: str, for_: str, reason: str, config: str | None, url: str | None) -> None:
    from sipfailover.remote import order_path

    _told(_remote(config, url, "POST", order_path(trunk), **{"order": order, "for": for_, "why": reason}))


def _remote(config: str | None, url: str | None, method: str, path: str, **body: object) -> dict[str, Any]:
    """Ask the service that runs with this file. Raises RemoteError with what to do."""
    from sipfailover.config import find_file, load
    from sipfailover.remote import Remote

    _, answer = Remote.of(load(find_file(config)), url).ask(method, path, **body)
    return answer


def _told(answer: dict[str, Any]) -> None:
    until = f" until {answer['until']}" if answer.get("until") else ""
    typer.echo(f"{answer.get('name', '?')}: {answer.get('order', '?')}{until}")


def main() -> int:
    """The console script. Returns the exit code; every error of ours is told in words, without a traceback."""
    _open_standard_streams()
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        for problem in error.problems:
            _say_problem(problem)
        count = len(error.problems)
        if count > 1:
            typer.echo(f"{_count(count, 'problem')}. Nothing was started or changed.", err=True)
        return EXIT_CONFIG
    except SipfailoverError as error:
        typer.echo(f"sipfailover: {error}", err=True)
        return EXIT_FAILED
    except BrokenPipeError:  # `sipfailover schema | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else EXIT_FAILED
    return 0


def _open_standard_streams() -> None:
    """Whoever started us may have closed them. Then the next file or socket would get their numbers, and the log would
    be written into it: the bin stands in for them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one


def _say_problem(problem: Problem, kind: str = "") -> None:
    typer.echo(f"{kind}{problem}", err=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
