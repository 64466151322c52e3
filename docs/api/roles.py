"""Shows the references of docstrings, :class:`Name`, as plain code."""
import re

import griffe

ROLE = re.compile(r':(?:attr|class|data|func|meth|mod):`~?([^`]+)`')


class Roles(griffe.Extension):
    """Turns Sphinx's roles into Markdown before a page is written."""

    def on_object(self, *, obj: griffe.Object, **kwargs) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r'`\1`', obj.docstring.value)
