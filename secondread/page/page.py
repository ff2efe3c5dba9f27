"""Pages for people: one HTML file each, that needs nothing else and runs no script.

A page's template lies beside the code that fills it, extends `page.html`, and brings the styles that it alone has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from secondread import __version__

_HERE = Path(__file__).parent  # page.html lies beside this file
STYLE_FILE = _HERE / "page.css"


def render_page(template: Path, filters: Mapping[str, Callable[..., str]], *, synthetic: bool, **values: Any) -> str:
    """Fill a template; what is put into it cannot become markup.

    Args:
        template: file that extends `page.html`.
        filters: by the name that the template calls them by.
        synthetic: say on top that the images are of no patients.
        values: what the template names; one that is missing is an error.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    page: str = environment.get_template(template.name).render(synthetic=synthetic, version=__version__, **values)
    return page
