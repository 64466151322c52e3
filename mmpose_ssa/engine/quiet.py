"""Silence known warnings of other packages that do not concern the user."""
import warnings

# Beginnings of the warnings that are not shown
SILENCED = (
    'pkg_resources is deprecated',  # MMEngine's import of it
    'The metainfo config file .* A matched config file',  # MMPose found it
)


def silence_foreign_warnings() -> None:
    """Ignore what `SILENCED` lists, and no other warning."""
    for message in SILENCED:
        warnings.filterwarnings('ignore', message=f'(?s){message}')
