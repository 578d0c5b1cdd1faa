"""``watchword api``: every kind of resource, by the same few commands.

Derives from the declarations in :mod:`watchword.model.registry`; no kind has code of its own here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Filter, Json, Namespace, ProfileName, Recursive, connect

if TYPE_CHECKING:
    from watchword.model.registry import Kind, Verb

app = typer.Typer(no_args_is_help=True, help="Read and change every kind of resource.")

Resource = Annotated[str, typer.Argument(metavar="RESOURCE", help="Kind: singular, plural or alias.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="ID or name.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="A field; repeat it to add elements to a list."),
]
File = Annotated[str, typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON; - is standard input.")]


def _kind(name: str, verb: Verb | None = None) -> Kind:
    from watchword.model import registry

    try:
        found = registry.kind(name)
    except KeyError as error:
        raise Failure(str(error.args[0]), "see: watchword api kinds", ExitCode.USAGE) from None
    if verb and verb not in found.verbs:
        raise Failure(f"{found.plural} offer no {verb}", f"they offer: {', '.join(found.verbs)}", ExitCode.USAGE)
    return found


def _columns(kind: Kind) -> list[str]:
    """What a list shows unless told otherwise: names, then what the declaration calls important."""
    first = [name for name in ("ID", "namespace", "name") if name in kind.fields]
    rest = [
        field.name
        for field in kind.fields.values()
        if (field.indexed or field.required) and field.name not in (*first, "createTime", "normalizedTags")
    ]
    return [*first, *rest]


def _show(record: Mapping[str, Any], as_json: bool) -> None:
    from watchword.cli import output

    if as_json:
        output.json_document(record)
    else:
        output.facts(record.items())


def _words(docstring: str) -> str:
    return docstring.replace("``", "")


@app.command("kinds")
def kinds(json: Json = False) -> None:
    """List the kinds of resources and what may be done with each."""
    from watchword.cli import output
    from watchword.model.registry import KINDS

    if json:
        output.json_document(
            [
                {"singular": k.singular, "plural": k.plural, "alias": k.alias, "category": k.category, "verbs": k.verbs}
                for k in KINDS
            ]
        )
        return
    rows = [(k.singular, k.alias, k.category, k.verbs, _words(k.description.splitlines()[0])) for k in KINDS]
    output.table(["resource", "alias", "category", "verbs", "what it is"], rows)


@app.command("list")
def list_resources(
    resource: Resource,
    filter: Filter = "",
    recursive: Recursive = False,
    propagated: Annotated[bool, typer.Option("--propagated", help="Also what namespaces above hand down.")] = False,
    order: Annotated[str, typer.Option("--order", metavar="FIELD,…", help="Such as name or -createTime.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many; 0 for all.")] = 0,
    column: Annotated[list[str] | None, typer.Option("--column", "-c", help="Field to show; may be repeated.")] = None,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """List resources."""
    from watchword.cli import output

    kind = _kind(resource, "list")
    unknown = [name for name in column or [] if name not in kind.fields]
    if unknown:
        raise Failure(
            f"{kind.singular} has no field {unknown[0]!r}",
            f"see: watchword api describe {kind.singular}",
            ExitCode.USAGE,
        )
    given = {"filter": filter, "order": order}
    params = {name: value for name, value in given.items() if value}
    params |= {name: "true" for name, value in {"recursive": recursive, "propagated": propagated}.items() if value}
    with connect(profile, namespace) as client:
        records = list(client.pages(f"/v1/{kind.plural}", params, limit=limit))
    if json:
        output.json_document(records)
        return
    columns = column or _columns(kind)
    output.table(columns, output.rows_of(records, columns))


@app.command("get")
def get(
    resource: Resource, name: Name, profile: ProfileName = "", namespace: Namespace = "", json: Json = False
) -> None:
    """Show one resource."""
    from watchword.cli.client import resource_path

    kind = _kind(resource, "get")
    with connect(profile, namespace) as client:
        answer = client.get(resource_path(kind.plural, name))
    _show(answer.body, json)


@app.command("create")
def create(
    resource: Resource,
    settings: Settings = None,
    file: File = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Make a resource from a file, from --set, or from both."""
    from watchword.cli import documents, schema

    kind = _kind(resource, "create")
    body = schema.body(kind, settings or [], documents.read_mapping(file) if file else {})
    with connect(profile, namespace) as client:
        answer = client.request("POST", f"/v1/{kind.plural}", body=body)
    _show(answer.body, json)


@app.command("update")
def update(
    resource: Resource,
    name: Name,
    settings: Settings = None,
    file: File = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Change the given fields of a resource and leave the others. A list is replaced as a whole."""
    from watchword.cli import documents, schema
    from watchword.cli.client import resource_path

    kind = _kind(resource, "update")
    body = schema.body(kind, settings or [], documents.read_mapping(file) if file else {})
    if not body:
        raise Failure("nothing to change", "give --set FIELD=VALUE or --file FILE", ExitCode.USAGE)
    with connect(profile, namespace) as client:
        answer = client.request("PATCH", resource_path(kind.plural, name), body=body)
    _show(answer.body, json)


@app.command("delete")
def delete(
    resource: Resource, name: Name, profile: ProfileName = "", namespace: Namespace = "", json: Json = False
) -> None:
    """Delete a resource."""
    from watchword.cli import output
    from watchword.cli.client import resource_path

    kind = _kind(resource, "delete")
    with connect(profile, namespace) as client:
        answer = client.request("DELETE", resource_path(kind.plural, name))
    if json:
        output.json_document({"deleted": name, "kind": kind.singular, "revision": answer.revision})
    else:
        output.say(f"deleted {kind.singular} {name} (revision {answer.revision})")


@app.command("describe")
def describe(resource: Resource, json: Json = False) -> None:
    """Show the fields of a kind of resource."""
    from watchword.cli import output, schema

    kind = _kind(resource)
    fields = [
        {
            "name": field.name,
            "type": schema.type_name(field.type),
            "traits": _traits(field),
            "description": field.description,
        }
        for field in kind.fields.values()
    ]
    if json:
        output.json_document({"kind": kind.singular, "verbs": kind.verbs, "fields": fields})
        return
    output.say(f"{kind.singular} (alias {kind.alias}): {_words(kind.description)}")
    output.table(["field", "type", "traits", "meaning"], [tuple(field.values()) for field in fields])
    structs = {struct.cls: struct for field in kind.fields.values() for struct in schema.structs_in(field.type)}
    for struct in structs.values():
        rows = [
            (
                part.encode_name,
                schema.type_name(part.type),
                "required" if part.required else "",
                schema.description(part.type),
            )
            for part in struct.fields
        ]
        output.table(["field", "type", "traits", "meaning"], rows, title=struct.cls.__name__)


def _traits(field: Any) -> list[str]:
    names = {
        "required": "required",
        "read_only": "read-only",
        "creation_only": "creation only",
        "secret": "secret, shown once",
    }
    return [words for attribute, words in names.items() if getattr(field, attribute)]


@app.command("stub")
def stub(resource: Resource, json: Json = False) -> None:
    """Print a resource to be filled in, as YAML."""
    from watchword.cli import documents, output, schema

    skeleton = schema.stub(_kind(resource))
    if json:
        output.json_document(skeleton)
    else:
        print(documents.dump(skeleton), end="")
