"""A bundle that exists, such as the one that ships, made one for another target without its checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from lipforge.export.bundle_folder import check_target, new_folder, read_reference
from lipforge.export.targets import TargetOptions, check_options, finish
from lipforge.export.verify import reference_arrays
from lipforge.runtime.backends import ONNXRUNTIME
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import REFERENCE_NAME, Manifest


def export_from_bundle(
    source: str | Path,
    output: Path,
    target: str,
    options: TargetOptions,
    *,
    name: str | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Copy a bundle's graphs and make the copy one for a target.

    Raises:
        InputError: the bundle is damaged or lacks its reference, or the output folder is not usable.
        ExportError: the target is not available, or the graphs are not fit for it; nothing was written.
        ConfigError: what the options name does not fit the bundle, or a graph is not what the manifest says.
        BackendError: a graph cannot be loaded.
    """
    check_options(target, options)
    bundle = Bundle.load(source, ONNXRUNTIME)
    output = output.absolute()
    check_target(output, overwrite=overwrite)
    reference = read_reference(bundle.folder / REFERENCE_NAME)
    for graph_name, graph in bundle.manifest.graphs.items():
        reference_arrays(reference, graph_name, graph)
        bundle.engine(graph_name).close()  # a graph that can be read, with the manifest's inputs and outputs
    with new_folder(output, overwrite=overwrite) as folder:
        for file in (*bundle.paths.values(), bundle.folder / REFERENCE_NAME):
            shutil.copyfile(file, folder / file.name)
        manifest = replace(bundle.manifest, name=name or bundle.manifest.name, ascend=None)
        manifest.write(folder)
        return finish(target, folder, manifest, options, output)
