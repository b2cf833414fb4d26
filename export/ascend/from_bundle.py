"""A bundle that exists, such as the one that ships, made one for Ascend NPUs without its checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from lipforge.export.ascend.target import AscendOptions, add_ascend
from lipforge.export.bundle_folder import new_folder
from lipforge.kernels.errors import InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import REFERENCE_NAME, Manifest


def export_from_bundle(
    source: str | Path, output: Path, options: AscendOptions, *, name: str | None = None, overwrite: bool = False
) -> Manifest:
    """Copy a bundle's graphs and make the copy one for Ascend NPUs.

    Raises:
        InputError: the bundle is damaged or lacks its reference, or the output folder is not usable.
        ExportError: the graphs are not fit for an NPU, or atc failed; nothing was written.
    """
    options.check()
    bundle = Bundle.load(source)
    output = output.absolute()
    if not (bundle.folder / REFERENCE_NAME).is_file():
        raise InputError(f"{bundle.folder}: has no {REFERENCE_NAME}, which the rehearsal needs. Export it again.")
    with new_folder(output, overwrite=overwrite) as folder:
        for file in (*bundle.paths.values(), bundle.folder / REFERENCE_NAME):
            shutil.copyfile(file, folder / file.name)
        manifest = replace(bundle.manifest, name=name or bundle.manifest.name)
        return add_ascend(folder, manifest, options, output)
