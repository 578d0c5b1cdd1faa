"""Policy files for the commands that work without a Console: read, checked as the Console would, as a world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from watchword.cli.failure import ExitCode, Failure, FieldProblem

if TYPE_CHECKING:
    from watchword.policy.files import Loaded


def load(
    files: Sequence[str], namespace: str = "/", assignments: Sequence[str] = (), value_files: Sequence[str] = ()
) -> Loaded:
    """What ``files`` (whatever ``watchword apply`` takes) say, applied in ``namespace``. Raises :class:`Failure`.

    ``assignments`` and ``value_files`` fill templates in. What cannot be carried over is said on standard error.
    """
    from watchword.cli import translating
    from watchword.policy import files as policy_files

    wishes = translating.Wishes(assignments=assignments, value_files=value_files, namespace=namespace, units=True)
    translation = translating.translated(files, wishes)
    translating.say_notes(translation)
    imports = translation.imports
    read = [policy_files.Document(each.source.source, number, each.body) for number, each in enumerate(imports)]
    try:
        return policy_files.load(read, namespace)
    except policy_files.FilesInvalid as wrong:
        problems = tuple(
            FieldProblem(
                f"{imports[each.document].place(each.path)}: {each.path}" + (f" ({each.name})" if each.name else ""),
                each.message,
                each.remedy,
            )
            for each in wrong.problems
        )
        raise Failure(f"{len(problems)} problem(s) in these files", "", ExitCode.USAGE, problems) from None
