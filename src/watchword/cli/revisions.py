"""``watchword revisions``: what changed, who changed it, whether the record is genuine, and the way back."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, connect

if TYPE_CHECKING:
    from watchword.cli.client import Client

app = typer.Typer(no_args_is_help=True, help="Show, compare, verify and roll back the published states of policy.")

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Revision, or latest.")]
Workloads = Annotated[bool, typer.Option("--workloads", help="Also units and Enforcers that came and went.")]

_PAGE = 200


@app.command("list")
def list_revisions(
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="The newest so many.")] = 20,
    workloads: Workloads = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """List the revisions that changed policy in a namespace or below it, newest first."""
    from watchword.cli import output

    params = {"limit": str(limit), "workloads": str(workloads).lower()}
    with connect(profile, namespace) as client:
        found = client.request("GET", "/v1/histories", params=params).body
    if json:
        output.json_document(found)
        return
    rows = [
        (each["revision"], each["time"], each["author"], each["message"], _summary(each["changes"])) for each in found
    ]
    output.table(["revision", "time (UTC)", "author", "why", "changes"], rows)


def _summary(changes: list[dict[str, Any]]) -> str:
    words = [f"{each['operation']} {each['kind']} {each['namespace']} {each['name']}" for each in changes[:3]]
    return ", ".join(words) + (f" and {len(changes) - 3} more" if len(changes) > 3 else "")


@app.command("show")
def show(
    number: Number,
    workloads: Workloads = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Show what one revision changed."""
    from watchword.cli import output

    with connect(profile, namespace) as client:
        answer = client.get(f"/v1/histories/{number}", workloads=str(workloads).lower()).body
    if json:
        output.json_document(answer)
        return
    output.facts((name, answer[name]) for name in ("revision", "time", "author", "message"))
    show_changes(answer["changes"])


@app.command("diff")
def diff(
    before: Annotated[str, typer.Argument(metavar="FROM", help="Revision, or latest.")],
    after: Annotated[str, typer.Argument(metavar="TO", help="Revision, or latest.")] = "latest",
    workloads: Workloads = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Compare the objects of two revisions, field by field, in either direction of time."""
    from watchword.cli import output

    params = {"from": before, "to": after, "workloads": str(workloads).lower()}
    with connect(profile, namespace) as client:
        answer = client.request("GET", "/v1/histories/difference", params=params).body
    if json:
        output.json_document(answer)
    else:
        show_changes(answer["changes"])


def show_changes(changes: list[dict[str, Any]], notes: Mapping[str, str] | None = None) -> None:
    """Changes of objects, field by field; ``notes`` by object ID stand beside them."""
    from watchword.cli import output

    if not changes:
        output.say("nothing is different")
    for each in changes:
        note = (notes or {}).get(each["ID"], "")
        heading = f"{each['operation']} {each['kind']} {each['namespace']} {each['name']}"
        output.say(f"{heading}  ({note})" if note else heading, style="bold")
        for field, (old, new) in sorted(each["diff"].items()):
            if field in ("ID", "namespace", "name") and each["operation"] != "update":
                continue
            if old != "null":
                output.say(f"  - {field}: {old}", style="red")
            if new != "null":
                output.say(f"  + {field}: {new}", style="green")


@app.command("rollback")
def rollback(
    number: Number,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    protected: Annotated[
        bool, typer.Option("--include-protected", help="Change and delete protected objects too.")
    ] = False,
    expect: Annotated[
        int,
        typer.Option("--expect", metavar="NUMBER", help="Refuse if policy here changed after it.", show_default=False),
    ] = 0,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Bring the policy objects of a revision back, in the namespace and below it, as a new revision.

    All of them or none; the namespace itself, units and credentials stay as they are.
    """
    from watchword.cli import output

    if not number.isdecimal():
        raise Failure(f"{number!r} is no revision to go back to", "name its number", ExitCode.USAGE)
    body: dict[str, Any] = {"revision": int(number), "includeProtected": protected}
    if expect:
        body["expectedRevision"] = expect
    with connect(profile, namespace) as client:
        params = {"dryRun": str(dry_run).lower()}
        answer = client.request("POST", "/v1/rollbacks", params=params, body=body, timeout=120).body
    if json:
        output.json_document(answer)
        return
    show_changes(answer["changes"])
    ending = "nothing was changed: dry run" if dry_run else f"revision {answer['revision']}"
    output.say(f"{answer['namespace']} as in revision {number} ({ending})")


@app.command("export")
def export(
    file: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output.")] = "-",
    profile: ProfileName = "",
) -> None:
    """Write the whole signed record, one JSON object a line, for keeping and verifying elsewhere."""
    with connect(profile, "/") as client:
        head, links = _fetch(client)
        lines = [_line(head), *(_line(link) for link in links)]
    text = "".join(lines)
    if file == "-":
        print(text, end="")
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {file}: {error}", "name another file", ExitCode.USAGE) from None


@app.command("verify")
def verify(
    file: Annotated[
        str,
        typer.Option(
            "--file", "-f", metavar="FILE", help="What `export` wrote; else the Console's.", show_default=False
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="BASE64", help="The Console's signing key, known from elsewhere.", show_default=False
        ),
    ] = "",
    profile: ProfileName = "",
    json: Json = False,
) -> None:
    """Verify the chain of signatures, and that what each revision is said to have changed is what was signed.

    With --file no Console is needed, but --key is: whoever could alter the file could alter a key in it too.
    Every Enforcer was told the key when it enrolled (consolePublicKey).
    """
    from watchword.cli import output
    from watchword.identity import history

    if file and not key:
        raise Failure("--file needs --key", "take the key from an Enforcer or from `revisions key`", ExitCode.USAGE)
    if file:
        head, *links = _read(file)
    else:
        with connect(profile, "/") as client:
            head, found = _fetch(client)
            links = list(found)
    public = _key(key or head["publicKey"])
    try:
        checked = history.verify(
            map(_link, links),
            public,
            policy_complete_from=int(head["policyCompleteFrom"]),
            workload_complete_from=int(head["workloadCompleteFrom"]),
        )
    except (history.BrokenChain, KeyError, TypeError) as broken:
        raise Failure(f"the record is not genuine: {broken}", "do not trust what this Console keeps") from None
    answer = {
        "first": checked.first,
        "last": checked.last,
        "count": checked.count,
        "detailed": checked.detailed,
        "signature": checked.signature,
    }
    if json:
        output.json_document(answer)
        return
    output.say(f"revisions {checked.first} to {checked.last}: {checked.count} signatures are genuine, without a gap")
    output.say(f"{checked.detailed} of them with every change; the newest signature is {checked.signature}")


@app.command("key")
def key_command(profile: ProfileName = "") -> None:
    """Print the Console's signing key, for `verify --key`."""
    with connect(profile, "/") as client:
        print(client.get("/v1/histories/chain", limit="1").body["publicKey"])


def _fetch(client: Client) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """What the chain's first page says of all, and every link."""
    first = client.get("/v1/histories/chain", limit=str(_PAGE))
    names = ("consoleID", "publicKey", "policyCompleteFrom", "workloadCompleteFrom")

    def links() -> Iterator[dict[str, Any]]:
        page = first
        while True:
            yield from page.body["links"]
            if not page.next:
                return
            page = client.get("/v1/histories/chain", limit=str(_PAGE), after=page.next)

    return {name: first.body[name] for name in names}, links()


def _line(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read(file: str) -> list[dict[str, Any]]:
    import json

    try:
        found = [json.loads(line) for line in Path(file).read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {file}: {error}", "give what `revisions export` wrote", ExitCode.USAGE) from None
    if not found or not all(isinstance(each, dict) for each in found):
        raise Failure(f"{file}: no record in it", "give what `revisions export` wrote", ExitCode.USAGE)
    return found


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise Failure("--key: is no key", "give 32 bytes as base64, such as consolePublicKey", ExitCode.USAGE)
    return key


def _link(value: dict[str, Any]) -> Any:
    import msgspec

    from watchword.identity.history import BrokenChain, Link
    from watchword.model.resources import Revision

    try:
        return Link(msgspec.convert(value["record"], Revision), value["changes"])
    except msgspec.ValidationError as error:
        raise BrokenChain(f"a record cannot be read: {error}") from None
