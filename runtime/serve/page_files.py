"""The files of the page, by the path at which each is served; nothing else of the disk can be asked for."""

from __future__ import annotations

from importlib.resources import files

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
    "/stream.js": ("stream.js", "text/javascript"),
    "/figures.js": ("figures.js", "text/javascript"),
}


def page_file(path: str) -> tuple[str, str]:
    """Return the text and the content type of one of ``PAGE_FILES``."""
    name, content_type = PAGE_FILES[path]
    return (files("lipforge.runtime.serve") / "page" / name).read_text(encoding="utf-8"), content_type
