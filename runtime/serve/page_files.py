"""The files of the page, by the path at which each is served; nothing else of the disk can be asked for."""

from __future__ import annotations

PAGE_FILES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
    "/stream.js": ("stream.js", "text/javascript"),
    "/figures.js": ("figures.js", "text/javascript"),
}
