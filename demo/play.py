"""After the show: everything keeps running, and a person plays on in other terminals."""

from __future__ import annotations

import shlex
import threading
from pathlib import Path

from demo.cast import WORKLOADS
from demo.operator import WATCHWORD
from demo.show import Show
from demo.stage import Stage
from demo.terminal import TerminalNarrator

_INTERVAL = 3.0


def play(show: Show, narrator: TerminalNarrator) -> None:
    """Tell how to play on, keep the shop alive; returns at Ctrl-C."""
    narrator.panel("Your turn", _invitation(show.stage, _write_file(show.stage)))
    stop = threading.Event()
    life = threading.Thread(target=_live, args=(show.stage, stop), name="life", daemon=True)
    life.start()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        narrator.say("")
    finally:
        stop.set()
        life.join(30)


def _invitation(stage: Stage, file: Path) -> list[str]:
    database = stage.address("postgres")
    return [
        f"The API is at [bold]{stage.console.url}[/]. In another terminal:",
        "",
        f"  [bold green]source {file}[/]",
        "",
        "  [bold]watchword flows --follow[/]                      who talks to whom, as it happens",
        "  [bold]watchword flows --follow --filter 'action == Reject'[/]",
        "  [bold]watchword explain wiki postgres tcp/5432[/]      why the intruder is refused; what would help",
        "  [bold]watchword explain job postgres tcp/5432[/]       why the job is not",
        f"  [bold]inside job psql -h {database} -U postgres -c 'select count(*) from orders'[/]",
        f"  [bold]inside wiki psql -h {database} -U postgres -c 'select count(*) from orders'[/]",
        "",
        "Take the job's tags away, and look at the flows; then give them back:",
        "",
        "  [bold]watchword api update processingunit job -n /shop --set 'associatedTags=[]'[/]",
        '  [bold]watchword api update processingunit job -n /shop --set \'associatedTags=["app=job","zone=shop"]\'[/]',
        "",
        "[bold]Ctrl-C[/] here ends it and removes everything.",
    ]


def _write_file(stage: Stage) -> Path:
    """A file for ``source``: the profile, the command, and ``inside WORKLOAD COMMAND``."""
    places = "\n".join(
        f"    {name}) set -- {shlex.quote(str(stage.hosts[each.host].cgroup / each.cgroup))} "
        f'{shlex.quote(stage.hosts[each.host].net)} "${{@:2}}" ;;'
        for name, each in WORKLOADS.items()
        if name != "meter"
    )
    file = stage.bed.remains.directory / "play"
    file.write_text(
        f"# For bash: the demonstration's Console, and its workloads.\n"
        f"export WATCHWORD_PROFILES={shlex.quote(str(stage.console.profiles))}\n"
        f"export PATH={shlex.quote(str(Path(WATCHWORD).parent))}:$PATH\n"
        f"# inside WORKLOAD COMMAND...: run a command inside a workload, as one more of its processes\n"
        f'inside() {{\n  case "$1" in\n{places}\n'
        f'    *) echo "inside: there is no workload $1" >&2; return 2 ;;\n  esac\n'
        f'  ( echo $BASHPID >"$1/cgroup.procs" && exec nsenter --net=/run/netns/"$2" "${{@:3}}" )\n}}\n'
    )
    return file


def _live(stage: Stage, stop: threading.Event) -> None:
    """Customers and the intruder go on; what they get is for the flows to show."""
    while not stop.wait(_INTERVAL):
        stage.outside.http(f"http://{stage.address('nginx')}/orders")
        stage.puppets["wiki"].sql(stage.address("postgres"), "select * from orders")
        stage.puppets["wiki"].connect(stage.address("api"), 8000)
