"""One crop of a head whose lips are moved by a warp network, as the runtime would move them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.export.int8.mouth import Run
from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite
from lipforge.runtime.engine import Arrays
from lipforge.runtime.faces.similarity import enlarge_transform
from lipforge.runtime.manifest import Manifest
from lipforge.train.pairs import HeadPairs


@dataclass(frozen=True)
class StillHead:
    """A head.

    Attributes:
        manifest: of the bundle.
        crop: uint8 (S, S, 3), RGB.
        seen: float32 (N, 2), the lips in it, crop px.
        neutral: float32 (N, 2), what displacements of the lips are added to.
    """

    manifest: Manifest
    crop: NDArray[np.uint8]
    seen: NDArray[np.float32]
    neutral: NDArray[np.float32]

    @classmethod
    def of(cls, manifest: Manifest, pairs: HeadPairs) -> StillHead | None:
        """Take the picture of a head whose lips are open least; None if the tracker saw the lips in none."""
        usable = np.flatnonzero(np.isfinite(pairs.tracked).all((1, 2)) & np.isfinite(pairs.target).all((1, 2)))
        if not len(usable):
            return None
        inner = pairs.target[usable, manifest.lips.outer_points :, 1]
        best = usable[np.argmin(np.ptp(inner, axis=1))]
        return cls(manifest, np.ascontiguousarray(pairs.images[best]), pairs.tracked[best], pairs.target[best])

    def feed(self, wanted: NDArray[np.float32]) -> Arrays:
        """Return the network's inputs for these lips, float32 (N, 2), crop px."""
        size = self.manifest.crop.size_px
        planes = [draw_lips(np.ascontiguousarray(c), self.manifest.lips, size) for c in (self.seen, wanted)]
        return {"reference": self.crop[None], "reference_lips": planes[0][None], "target_lips": planes[1][None]}

    def draw(self, move: Run, wanted: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the crop with these lips, uint8 (S, S, 3) BGR."""
        fields, warp = move(self.feed(wanted)), self.manifest.warp
        image = np.ascontiguousarray(self.crop[..., ::-1])
        flow, mask, colour = (np.ascontiguousarray(fields[name][0]) for name in ("flow", "mask", "colour"))
        # The fields lie on a finer grid than the crop.
        to_fields = enlarge_transform(np.eye(2, 3), warp.factor)
        composite(image, WarpScratch(), to_fields, flow, mask[0], colour, WarpSpec(warp.border_field_px))
        return image
