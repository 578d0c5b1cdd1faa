"""``watchword test``: does policy do what it has to do? From files alone, or on the Console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from xml.etree import ElementTree

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, TemplateFiles, TemplateValues, connect

if TYPE_CHECKING:
    from watchword.policy.files import Loaded


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("test")(policy_tests)


def policy_tests(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="What `watchword apply` takes: files, folders or -.")
    ] = None,
    draft: Annotated[
        str, typer.Option("--draft", metavar="NAME", help="The Console's tests on a draft.", show_default=False)
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", metavar="NUMBER", help="… on an older revision.", show_default=False)
    ] = "",
    junit: Annotated[
        str, typer.Option("--junit", metavar="FILE", help="Also write a JUnit report.", show_default=False)
    ] = "",
    set_: TemplateValues = None,
    values: TemplateFiles = None,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Run policy tests: those in FILEs on the policy in FILEs, or without FILE the Console's on its policy.

    With files, no Console is needed. They are what `watchword apply` takes - templates, files of the product family and
    NetworkPolicies too -, and may have `processingunits` and the namespace `/` besides. Exit code 1 if a test fails, 2
    if the files are wrong or hold no test.
    """
    from watchword.cli import output, policyfiles

    if files and (draft or revision):
        raise Failure("--draft and --revision are about the Console", "leave them out, or the files", ExitCode.USAGE)
    if not files and (set_ or values):
        raise Failure("--set and --values are about files", "name the files", ExitCode.USAGE)
    if files:
        found = _offline(policyfiles.load(files, namespace or "/", set_ or (), values or ()))
    else:
        found = _online(draft, revision, profile, namespace)
    if not found["tests"]:
        raise Failure("there is no policy test here", "write one: watchword api stub policytest", ExitCode.USAGE)
    if junit:
        _write(junit, report(found["tests"]))
    if json:
        output.json_document(found)
    else:
        _show(found["tests"])
    if not found["passed"]:
        raise typer.Exit(ExitCode.FAILED)


def _offline(loaded: Loaded) -> dict[str, Any]:
    import msgspec

    from watchword.policy import assertions
    from watchword.policy.sides import Situation

    situation = Situation.of(loaded.world)
    runs = []
    for each in loaded.tests:
        results = assertions.results(each, assertions.run(each, situation))
        runs.append(
            {
                "ID": each.id,
                "name": each.name,
                "namespace": each.namespace,
                "mode": "enforce" if each.enforced else "warn",
                "passed": all(result.passed for result in results),
                "results": msgspec.to_builtins(results),
            }
        )
    return {"passed": all(run["passed"] for run in runs), "tests": runs}


def _online(draft: str, revision: str, profile: str, namespace: str) -> dict[str, Any]:
    asked = {"draft": draft, "revision": revision}
    with connect(profile, namespace) as client:
        params = {name: value for name, value in asked.items() if value}
        answer: dict[str, Any] = client.request("GET", "/v1/policytestruns", params=params, timeout=120).body
    return answer


def _show(tests: list[dict[str, Any]]) -> None:
    from watchword.cli import output

    failed = 0
    for test_ in tests:
        where = f"{test_['namespace'].rstrip('/')}/{test_['name']}"
        if test_.get("stale"):
            output.say(
                f"stale {where}: the result that the Console keeps {test_['stale']}", style=output.STYLES["stale"]
            )
        for result in test_["results"]:
            failed += not result["passed"]
            label = result["name"] or f"assertion {result['index'] + 1}"
            status = "pass" if result["passed"] else "FAIL"
            output.say(f"{status}  {where}: {label}: {result['message']}", style=output.STYLES[status])
            if result["decidedBy"] and not result["passed"]:
                output.say(f"      {result['decidedBy']}")
    count = sum(len(test_["results"]) for test_ in tests)
    output.say(f"{count - failed} of {count} assertions hold")


def report(tests: list[dict[str, Any]]) -> str:
    """A JUnit report: a test suite for each policy test, a case for each assertion."""
    root = ElementTree.Element("testsuites")
    for test_ in tests:
        results = test_["results"]
        name = f"{test_['namespace'].rstrip('/')}/{test_['name']}"
        failures = sum(not result["passed"] for result in results)
        suite = ElementTree.SubElement(
            root, "testsuite", name=_xml(name), tests=str(len(results)), failures=str(failures), errors="0"
        )
        for result in results:
            label = result["name"] or f"assertion {result['index'] + 1}"
            case = ElementTree.SubElement(suite, "testcase", classname=_xml(name), name=_xml(label))
            if not result["passed"]:
                failure = ElementTree.SubElement(case, "failure", message=_xml(result["message"]))
                failure.text = _xml(result["decidedBy"])
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _xml(text: str) -> str:
    """``text`` without what no XML may contain."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _write(file: str, text: str) -> None:
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {file}: {error}", "name another file", ExitCode.USAGE) from None
