"""The networks, one file each, and the table that finds one by the ``kind`` of a checkpoint."""

from __future__ import annotations

from typing import Any

from torch import nn

from lipforge.kernels.errors import ConfigError
from lipforge.train.models import quality_discriminator, syncnet, wav2lip
from lipforge.train.models.audio2lips import Audio2Lips
from lipforge.train.models.warp import WarpNet

NETWORKS: dict[str, type[nn.Module]] = {
    "audio2lips": Audio2Lips,
    "warp": WarpNet,
    wav2lip.KIND: wav2lip.Wav2Lip,
    syncnet.KIND: syncnet.SyncNet,
    quality_discriminator.KIND: quality_discriminator.QualityDiscriminator,
}


def build_network(kind: str, arguments: dict[str, Any]) -> nn.Module:
    """Construct the network of ``kind`` from its constructor arguments (``model`` of ``checkpoint.json``).

    Raises:
        ConfigError: the kind or an argument is unknown.
    """
    if kind not in NETWORKS:
        raise ConfigError(f"unknown kind of network {kind!r}; known are {sorted(NETWORKS)}.")
    try:
        return NETWORKS[kind](**arguments)
    except TypeError as error:
        raise ConfigError(f"{kind}: cannot build the network from {arguments}: {error}.") from error
