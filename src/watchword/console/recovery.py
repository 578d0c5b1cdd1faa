"""What an operator with the data directory can do when nobody can sign in any more.

Works on a Console that does not run; the directory's lock sees to that.
"""

from __future__ import annotations

from watchword.console.bootstrap import AUTHOR, is_first_start, new_administrator
from watchword.console.console import open_console
from watchword.console.settings import Settings, SettingsError


async def recover_administrator(settings: Settings) -> tuple[str, str]:
    """Make a further administrator; its name and its credential, which is shown nowhere else.

    Raises :class:`SettingsError` when the Console runs, or has never been started.
    """
    console = await open_console(settings)
    try:
        async with console.database.reading() as connection:
            if await is_first_start(connection):
                raise SettingsError(f"data_dir: no Console has been started on {settings.data_dir} yet; start it")
        async with console.changes.begin(AUTHOR) as change:
            name = f"administrator-{console.identifiers.new()[-8:]}"
            return name, await new_administrator(change, console.mint, name)
    finally:
        await console.close()
