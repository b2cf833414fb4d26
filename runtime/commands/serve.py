"""``lipforge serve``: live lip-sync for browsers and voice agents."""

from __future__ import annotations

from pathlib import Path

import click

from lipforge.runtime.commands.progress import announce_compiling


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on. Others need a --token.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--token",
    envvar="LIPFORGE_TOKEN",
    metavar="TEXT",
    help="Secret that clients show as `Authorization: Bearer TEXT`, and that the page asks for. "
    "Better given as the environment variable LIPFORGE_TOKEN, which other users of the machine cannot see.",
)
@click.option(
    "--allow-host", "hosts", multiple=True, metavar="NAME", help="Name of this server, such as a proxy's; repeatable."
)
@click.option("--max-sessions", type=click.IntRange(1, 1000), default=4, show_default=True, help="Streams at a time.")
@click.option(
    "--avatar", "avatars", multiple=True, type=click.Path(path_type=Path), help="Picture or video; repeatable."
)
@click.option("--model", default=None, metavar="BUNDLE|NAME", help="Bundle folder, or the name of a shipped bundle.")
@click.option("--certificate", type=click.Path(path_type=Path), help="TLS certificate (PEM), for https.")
@click.option("--key", type=click.Path(path_type=Path), help="The certificate's private key (PEM).")
@click.option(
    "--backend",
    default="auto",
    show_default=True,
    help="What runs the networks: auto, onnxruntime (CPU), onnxruntime-cuda, onnxruntime-cann or acl (Ascend NPU).",
)
def serve(
    host: str,
    port: int,
    token: str | None,
    hosts: tuple[str, ...],
    max_sessions: int,
    avatars: tuple[Path, ...],
    model: str | None,
    certificate: Path | None,
    key: Path | None,
    backend: str,
) -> None:
    """Serve live lip-sync: a page for browsers (WebRTC) and a WebSocket for voice agents.

    Open the address that is printed: the page takes a camera or an avatar, and a microphone or a sound file, and shows
    the result with its delay. Browsers give their camera only to pages on localhost or on https.

    Voice agents stream PCM to /voice and get frames with their audio back; /health and /metrics (Prometheus) are for
    whoever watches the server.
    """
    import asyncio

    from lipforge.runtime.bundle import DEFAULT_BUNDLE, Bundle
    from lipforge.runtime.faces import face_models
    from lipforge.runtime.serve.options import Limits, ServeOptions
    from lipforge.runtime.serve.server import check_packages
    from lipforge.runtime.serve.server import serve as run_server
    from lipforge.runtime.serve.studio import Studio

    options = ServeOptions(host, port, token, hosts, certificate, key, Limits(sessions=max_sessions))
    check_packages()
    announce_compiling()
    bundle = Bundle.load(model or DEFAULT_BUNDLE, backend)
    face_models(_say)

    def make_studio() -> Studio:
        studio = Studio(bundle, options.limits)
        for path in avatars:
            _say(f"Preparing {path}")
            studio.add_file(path)
        return studio

    try:
        asyncio.run(run_server(options, make_studio, lambda address: _say(_welcome(address, options.token))))
    except KeyboardInterrupt:  # before the server took over the signal
        raise SystemExit(130) from None
    _say("Stopped.")


def _welcome(address: str, token: str | None) -> str:
    asks = " The page asks for the token." if token else ""
    return f"Open {address}{asks} Ctrl-C stops."


def _say(message: str) -> None:
    click.echo(message, err=True)
