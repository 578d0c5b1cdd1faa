"""``GET /v1/policytestruns``: policy tests run now, against the live policy, a draft or an older revision."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.askedworlds import asked_world
from watchword.console.api.context import check_parameters, context, json_answer
from watchword.console.policytests import TEST
from watchword.console.store import records
from watchword.console.store.schema import TABLES
from watchword.model.declarations import Part
from watchword.model.resources import AssertionResult
from watchword.policy import assertions
from watchword.policy.assertions import parsed


class TestRun(Part, frozen=True, kw_only=True):
    """What became of one test."""

    __test__ = False  # it is none of pytest's

    id: str
    name: str
    namespace: str
    mode: str
    passed: bool
    #: Why the Console's last own result may not hold any more; empty while it does. This run is newer.
    stale: str
    results: list[AssertionResult]


class TestRuns(Part, frozen=True, kw_only=True):
    """What became of all tests at and below a namespace."""

    __test__ = False

    revision: int
    draft: str
    passed: bool
    tests: list[TestRun]


async def endpoint(request: Request) -> Response:
    """Run every test that is not disabled, at the request's namespace and below. Nothing is stored."""
    asked = await context(request)
    check_parameters(request, {"draft", "revision"})
    world = await asked_world(asked)
    async with asked.console.database.reading() as connection:
        scope = records.in_namespace(TABLES[TEST.singular], asked.namespace, recursive=True)
        found = await records.find(connection, TEST, scope)
    tests = [parsed(record.resource) for record in found if not record.resource.disabled]
    kept = {record.id: record.resource for record in found}
    runs = [
        TestRun(
            id=test.id,
            name=test.name,
            namespace=test.namespace,
            mode=kept[test.id].mode,
            passed=all(outcome.passed for outcome in outcomes),
            stale=kept[test.id].stale,
            results=assertions.results(test, outcomes),
        )
        for test, outcomes in await asked.console.policy_tests.evaluate(world, tests)
    ]
    answer = TestRuns(
        revision=world.revision,
        draft=request.query_params.get("draft", ""),
        passed=all(run.passed for run in runs),
        tests=runs,
    )
    return json_answer(answer)
