"""Indices into the 468-point face mesh (topology of MediaPipe's face_landmark model, Apache-2.0).

"Right" is the subject's right, which is the image's left.
"""

from __future__ import annotations

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import LipSpec

MESH_POINTS = 468

RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER = 33, 133, 362, 263
NOSE_BASE = 2
GLABELLA = (9, 8)

# The points that CropSpec.template places, in its order.
ALIGNMENT = (RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER, NOSE_BASE)

# Contours in the order of LipSpec: right corner, upper lip, left corner, back along the lower lip.
OUTER = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)

# Points that neither speech, blinking nor brows move: eye corners, nose, bridge, forehead, temples.
RIGID = (
    *(RIGHT_EYE_OUTER, RIGHT_EYE_INNER, LEFT_EYE_INNER, LEFT_EYE_OUTER),
    *(130, 359, 243, 463),  # beside the eye corners
    *(168, 6, 197, 195, 5, 4),  # bridge and ridge of the nose
    *(122, 351, 196, 419, 3, 248),  # sides of the nose
    *(8, 151, 10, 109, 338),  # forehead
    *(162, 389, 127, 356, 21, 251),  # temples
)

# The mirror partner of each point of RIGID.
RIGID_MIRRORED = (
    *(LEFT_EYE_OUTER, LEFT_EYE_INNER, RIGHT_EYE_INNER, RIGHT_EYE_OUTER),
    *(359, 130, 463, 243),
    *(168, 6, 197, 195, 5, 4),
    *(351, 122, 419, 196, 248, 3),
    *(8, 151, 10, 338, 109),
    *(389, 162, 356, 127, 251, 21),
)


def lip_indices(lips: LipSpec) -> tuple[int, ...]:
    """Return the mesh points of the lips in the order of ``LipSpec``.

    Raises:
        ConfigError: the spec asks for other numbers of points than the mesh has.
    """
    if (lips.outer_points, lips.inner_points) != (len(OUTER), len(INNER)):
        raise ConfigError(
            f"LipSpec asks for {lips.outer_points} outer and {lips.inner_points} inner lip points; "
            f"the face mesh has {len(OUTER)} and {len(INNER)}. Use a bundle that was trained with those."
        )
    return OUTER + INNER
