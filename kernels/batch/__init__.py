"""Whole batches of one op in one call, with the same contract on every backend.

``lipforge.kernels.backend.choose(op, requested).load()`` gives one of these functions. They are for preparing data and
for training; a running session works frame by frame through the ops' own public calls.

* mel: ``log_mel(audio, spec)``, as ``lipforge.kernels.mel.log_mel``.
* crop: ``crop_batch(images, transforms, size_px, *, frames=None, as_float=False, reverse_channels=False, out=None)``:
  uint8 (F, H, W, 3) images, float (B, 2, 3) transforms -> (B, 3, S, S), uint8 or float32 = level / 255. Float crops
  hold the same levels as uint8 ones, so that a network trains on exactly what it meets at run time.
* warp: ``composite_batch(images, transforms, flow, mask, colour, spec, strength=1.0, out=None)``: ``composite`` for
  each image, into copies of them.
"""
