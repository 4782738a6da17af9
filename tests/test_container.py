"""The image, proved without a container engine: the steps of the Dockerfile itself, taken in an empty directory.

Paths of the image (/opt, /src, …) are put under that directory, and nothing else is changed. Then the service is
started as the image starts it: as user 10001, who can write the volume and nothing else, and is asked and stopped as
the Dockerfile and examples/compose.yaml say.
"""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from sipfailover import __version__, healthcheck
from sipfailover.config import load
from tests.dockerfile import Stage, assignments, let_through, stages

ROOT = Path(__file__).parents[1]
BUILD, IMAGE = stages(ROOT / "Dockerfile")
COMPOSE = yaml.safe_load((ROOT / "examples" / "compose.yaml").read_text())
SERVICE = COMPOSE["services"]["sipfailover"]
USER = 10001
PLACES = re.compile(r"(?<![\w./-])/(opt|src|dist|etc/sipfailover|var/lib/sipfailover)\b")
SERVICE_KEYS = re.findall(
    r"\w+",
    """
    build cap_add cap_drop command configs container_name cpus depends_on deploy dns entrypoint env_file environment
    expose extra_hosts healthcheck hostname image init labels logging mem_limit network_mode networks ports profiles
    pull_policy read_only restart secrets security_opt stop_grace_period stop_signal sysctls tmpfs ulimits user volumes
    """,
)
"""What the Compose Specification lets a service have, as far as somebody here may want it."""
AS_ROOT = os.geteuid() == 0
SETTINGS = """\
pbx: 127.0.0.1:{pbx}
listen: [udp 127.0.0.1:{sip}]
trunks:
  - {{name: main, host: 127.0.0.1, port: {main}, transport: udp, register: no}}
  - {{name: backup, host: 127.0.0.1, port: {backup}, transport: udp, register: no}}
status: {{listen: 127.0.0.1:{web}}}
history: {{file: /var/lib/sipfailover/history.db}}
"""


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"ms": 0.001, "s": 1.0, "m": 60.0}[unit]


# ---- what can be read


def test_only_what_is_copied_goes_to_the_builder_and_all_of_it() -> None:
    copied = {word for rest in BUILD.all("COPY") for word in rest.split()[:-1]}
    assert all(let_through(ROOT / ".dockerignore", word) and (ROOT / word).exists() for word in copied)
    there = {path.name for path in ROOT.iterdir()}
    assert {name for name in there if let_through(ROOT / ".dockerignore", name)} == copied & there


def test_the_image_takes_over_the_environment_and_nothing_else() -> None:
    assert IMAGE.all("COPY") == [f"--from={BUILD.name} /opt/sipfailover /opt/sipfailover"]
    assert not {"ADD", "VOLUME", "SHELL", "ONBUILD"} & {instruction for instruction, _ in BUILD.steps + IMAGE.steps}


def test_everything_is_installed_from_locks_with_hashes() -> None:
    for rest in BUILD.all("RUN"):
        for command in re.findall(r"pip (?:install|wheel) [^&]*", rest):
            assert "--require-hashes" in command or "--no-index" in command


def test_exposed_ports_are_the_default_ones(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("pbx: 192.0.2.1\ntrunks: [{name: a, host: 192.0.2.2}]\n")
    settings = load(str(tmp_path / "a.yaml"), {})
    exposed = set(IMAGE.one("EXPOSE").split())
    assert exposed == {
        *(f"{listen.port}/{listen.transport}" for listen in settings.listen),
        f"{settings.status.listen.port}/tcp",
    }
    assert f"http://{settings.status.listen}/healthz" == healthcheck.DEFAULT_URL


def test_the_user_has_a_number_and_no_privilege() -> None:
    assert IMAGE.one("USER") == f"{USER}:{USER}"
    assert SERVICE["cap_drop"] == ["ALL"]
    assert "cap_add" not in SERVICE
    assert "no-new-privileges:true" in SERVICE["security_opt"]
    assert SERVICE["read_only"] is True


def test_the_health_probe_gives_up_before_the_engine_does() -> None:
    timeout = re.search(r"--timeout=(\S+)", IMAGE.one("HEALTHCHECK"))
    assert timeout
    assert seconds(timeout[1]) > healthcheck.TIMEOUT


def test_compose_has_keys_that_compose_knows() -> None:
    assert set(COMPOSE) <= {"name", "services", "volumes", "secrets", "configs", "networks"}
    assert set(SERVICE) <= set(SERVICE_KEYS)
    assert all(set(entry) <= {"path", "required", "format"} for entry in SERVICE["env_file"])
    assert set(SERVICE["logging"]) <= {"driver", "options"}
    assert all(isinstance(value, str) for value in SERVICE["logging"]["options"].values())


def test_compose_agrees_with_the_dockerfile() -> None:
    assert SERVICE["image"] == f"sipfailover:{__version__}"
    assert SERVICE["network_mode"] == "host"
    assert "ports" not in SERVICE, "with the host's network there is nothing to publish"
    assert "stop_signal" not in SERVICE, "the Dockerfile says it"
    mounts = {target: (source, mode) for source, target, *mode in (entry.split(":") for entry in SERVICE["volumes"])}
    assert mounts["/etc/sipfailover/sipfailover.yaml"] == ("./sipfailover.yaml", ["ro"])
    volume = IMAGE.one("WORKDIR")
    assert mounts[volume] == ("history", [])
    assert "history" in COMPOSE["volumes"]
    assert f"-o {USER} -g {USER} {volume}" in IMAGE.one("RUN"), "a new volume takes its owner from the image"


# ---- what can be done


@dataclass
class Image:
    """The result of the Dockerfile's steps under `root`."""

    root: Path
    base: Path

    def put(self, text: str) -> str:
        """The text with the image's paths under our root."""
        return PLACES.sub(lambda found: f"{self.root}{found[0]}", text)

    def path(self, inside: str) -> Path:
        return Path(self.put(inside))

    def take(self, stage: Stage) -> None:
        """The steps of a stage that do something: WORKDIR, RUN, and COPY from the context."""
        environment = {"PATH": f"{self.base}:{os.environ['PATH']}", "HOME": str(self.root)}
        environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        workdir = self.root
        for instruction, rest in stage.steps:
            if instruction == "WORKDIR":
                workdir = self.path(rest)
                workdir.mkdir(parents=True, exist_ok=True)
            elif instruction == "COPY" and not rest.startswith("--from="):
                *sources, target = rest.split()
                for source in sources:
                    self.copy(ROOT / source, workdir / target)
            elif instruction == "RUN":
                done = subprocess.run(
                    ["/bin/sh", "-c", self.put(rest)],
                    cwd=workdir,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=300,
                )
                assert done.returncode == 0, f"RUN {rest}\n{done.stdout}{done.stderr}"

    def copy(self, source: Path, target: Path) -> None:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)

    def environment(self) -> dict[str, str]:
        """What a container has: ENV, and the engine's own PATH."""
        found = {"PATH": f"{self.base}:/usr/bin:/bin"}
        for rest in IMAGE.all("ENV"):
            for name, value in assignments(rest).items():
                found[name] = self.put(value).replace("$PATH", found["PATH"])
        return found

    def process(self, words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
        """A process in the container: the image's environment, working directory and user."""
        whose = {"user": USER, "group": USER, "extra_groups": []} if AS_ROOT else {}
        return subprocess.Popen(
            words,
            env=self.environment() | environment,
            cwd=self.path(IMAGE.one("WORKDIR")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **whose,  # type: ignore[call-overload]
        )

    def run(self, words: list[str], **environment: str) -> tuple[int, str]:
        """Exit code and output of a process that ends by itself."""
        with self.process(words, environment) as process:
            out, _ = process.communicate(timeout=60)
        return process.returncode, out

    def files(self) -> dict[str, float]:
        """Everything outside the volume, with its time of change."""
        volume = self.path(IMAGE.one("WORKDIR"))
        found = (path for path in self.root.rglob("*") if not path.is_relative_to(volume))
        return {str(path): path.lstat().st_mtime for path in found}


def interpreter() -> Path:
    """A Python from 3.11 on that user 10001 may run, too; its home may be closed to others."""
    whose = {"user": USER, "group": USER} if AS_ROOT else {}
    for candidate in (Path(sys.executable).resolve(), Path("/usr/local/bin/python3"), Path("/usr/bin/python3")):
        try:
            code = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([candidate, "-c", code], cwd="/", capture_output=True, **whose).returncode == 0:  # type: ignore[call-overload]
                return candidate
        except OSError:
            continue
    pytest.skip("no Python from 3.11 on that user 10001 may run")


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    python = interpreter()
    root = Path(tempfile.mkdtemp(prefix="sipfailover-image-"))  # not pytest's: user 10001 may not enter that one
    try:
        root.chmod(0o755)
        image = Image(root, root / "base")
        image.base.mkdir()
        _command(image.base / "python", f'exec {python} "$@"')
        for tool in ("groupadd", "useradd"):
            _command(image.base / tool, f'exec /usr/sbin/{tool} --prefix {root} "$@"')
        image.take(BUILD)
        for gone in (*root.glob("opt/*"), root / "src", root / "dist"):
            if f"/opt/{gone.name}" not in IMAGE.one("COPY").split():
                shutil.rmtree(gone)
        (root / "etc").mkdir()
        for name in ("passwd", "group", "shadow", "gshadow"):
            (root / "etc" / name).touch()
        if AS_ROOT:
            image.take(IMAGE)
        else:
            image.path(IMAGE.one("WORKDIR")).mkdir(parents=True)
            image.path("/etc/sipfailover").mkdir()
        yield image
    finally:
        shutil.rmtree(root)


def _command(file: Path, line: str) -> None:
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)


@pytest.mark.slow
@pytest.mark.skipif(not AS_ROOT, reason="users are made by root only")
def test_the_image_has_its_user_and_its_volume(image: Image) -> None:
    (user,) = (image.root / "etc" / "passwd").read_text().splitlines()
    assert user.split(":")[2:4] == [str(USER), str(USER)]
    assert user.endswith(f":{image.path('/var/lib/sipfailover')}:/usr/sbin/nologin")
    volume = image.path("/var/lib/sipfailover").stat()
    assert (volume.st_uid, volume.st_gid, stat.S_IMODE(volume.st_mode)) == (USER, USER, 0o750)
    code, writable = image.run(["find", str(image.root), "-writable", "-not", "-type", "l"])
    assert (code, writable.split()) == (0, [str(image.path("/var/lib/sipfailover"))])


@pytest.mark.slow
def test_the_image_has_bytecode_and_no_installer(image: Image) -> None:
    (site,) = image.path("/opt/sipfailover/lib").glob("python3*/site-packages")
    assert not (site / "pip").exists()
    package = site / "sipfailover"
    compiled = {path.name.split(".")[0] for path in (package / "__pycache__").glob("*.pyc")}
    assert {path.stem for path in package.glob("*.py")} == compiled


@pytest.mark.slow
def test_the_command_of_the_image_is_the_program(image: Image) -> None:
    code, said = image.run([*IMAGE.words("ENTRYPOINT"), "version"])
    assert (code, said.split()[:2]) == (0, ["sipfailover", __version__])
    code, said = image.run([*IMAGE.words("ENTRYPOINT"), *IMAGE.words("CMD"), "--help"])
    assert code == 0
    assert "Run the service" in said


@pytest.mark.slow
def test_it_starts_is_healthy_and_stops_in_time(image: Image) -> None:
    ports = dict(zip(("pbx", "sip", "main", "backup", "web"), free_ports(5), strict=True))
    file = image.path("/etc/sipfailover/sipfailover.yaml")
    file.write_text(image.put(SETTINGS.format(**ports)))
    file.chmod(0o644)
    environment = {
        "SIPFAILOVER_CONFIG": str(file),  # /etc is not ours here
        healthcheck.URL_VARIABLE: f"http://127.0.0.1:{ports['web']}/healthz",
    }
    options, _, probe = IMAGE.one("HEALTHCHECK").partition(" CMD ")
    start_period = re.search(r"--start-period=(\S+)", options)
    assert start_period
    assert image.run(json.loads(probe), **environment)[0] == 1, "nobody is there yet"

    before = image.files()
    with image.process([*IMAGE.words("ENTRYPOINT"), *IMAGE.words("CMD")], environment) as service:
        try:
            end = time.monotonic() + seconds(start_period[1])
            while (healthy := image.run(json.loads(probe), **environment)) and healthy[0] != 0:
                assert service.poll() is None, f"it ended by itself:\n{service.stdout and service.stdout.read()}"
                assert time.monotonic() < end, healthy[1]
                time.sleep(0.2)
            service.send_signal(signal.Signals[IMAGE.one("STOPSIGNAL")])
            said, _ = service.communicate(timeout=seconds(SERVICE["stop_grace_period"]))
            assert service.returncode == 0, said
        finally:
            service.kill()  # nothing happens to one that has ended
    assert image.files() == before, "with a read-only root nothing but the volume may be written"


def free_ports(count: int) -> list[int]:
    """Ports that nobody has on loopback, neither for UDP nor for TCP."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            tcp = held.enter_context(socket.socket())
            tcp.bind(("127.0.0.1", 0))
            with suppress(OSError):
                held.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(tcp.getsockname())
                found.append(tcp.getsockname()[1])
    return found
