"""Silence known warnings of other packages that do not concern the user."""
import logging
import warnings

# Beginnings of the warnings that are not shown
SILENCED = (
    'pkg_resources is deprecated',  # MMEngine's import of it
    'The metainfo config file .* A matched config file',  # MMPose found it
)


# Beginnings of MMEngine's log lines about its own checkpoint hook
LOGGED = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


def is_of_interest(record: logging.LogRecord) -> bool:
    """Filter for a logger: False for what `LOGGED` lists."""
    return not record.getMessage().startswith(LOGGED)


def silence_foreign_warnings() -> None:
    """Ignore what `SILENCED` lists, and no other warning."""
    for message in SILENCED:
        warnings.filterwarnings('ignore', message=f'(?s){message}')
