"""Rules about single operators whose attributes or inputs ATC ignores, misreads or refuses. ASC101 to ASC112."""

from __future__ import annotations

from collections.abc import Iterator

from lipforge.export.ascend.checked_graph import CheckedGraph
from lipforge.export.ascend.finding import Finding

REDUCTIONS = {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"} | {
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceSumSquare",
}


def resize_options(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC101: options of Resize that ATC drops with a warning, so that the numbers are wrong."""
    for node, options in graph.nodes_of("Resize"):
        keeps = options.get("keep_aspect_ratio_policy", b"stretch") != b"stretch"
        dropped = [name for name in ("antialias", "axes") if options.get(name)]
        dropped += ["keep_aspect_ratio_policy"] * keeps
        if dropped:
            reason = f"ATC ignores {', '.join(dropped)} and computes something else"
            yield graph.at(node, "ASC101", reason, "Use interpolate(antialias=False) with sizes of all axes.")


def resize_rank(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC102: Resize of something that is no picture."""
    for node, _ in graph.nodes_of("Resize"):
        shape = graph.shapes.get(node.input[0], ())
        if shape and len(shape) != 4:
            reason = f"it resizes a tensor of {len(shape)} axes {list(shape)}, ATC takes 4 (NCHW)"
            yield graph.at(node, "ASC102", reason, "Give it 4 axes with unsqueeze and squeeze.")


def resize_inputs(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC103: Resize at opset 18 without its place for scales."""
    for node, _ in graph.nodes_of("Resize"):
        if graph.opset >= 18 and len(node.input) < 3:
            reason = f"it has {len(node.input)} inputs, ATC wants at least 3 at opset 18"
            yield graph.at(node, "ASC103", reason, "Write the scales or sizes as inputs 3 or 4.")


def conv_transpose(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC104: transposed convolutions that ATC pads otherwise or cannot read."""
    for node, options in graph.nodes_of("ConvTranspose"):
        if "output_shape" in options:
            reason = "ATC pads output_shape as SAME_LOWER whatever the model says"
            yield graph.at(node, "ASC104", reason, "Give pads and output_padding instead.")
        if "kernel_shape" not in options:
            yield graph.at(node, "ASC104", "it lacks kernel_shape, which ATC reads", "Write kernel_shape.")


def conv_attributes(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC105: a convolution without any attribute."""
    for node, options in graph.nodes_of("Conv"):
        if not {"kernel_shape", "pads", "strides", "dilations"} & set(options):
            reason = "it has none of kernel_shape, pads, strides and dilations; ATC needs one"
            yield graph.at(node, "ASC105", reason, "Write kernel_shape.")


def reduction_axes(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC106: reductions over axes that are computed, or over none."""
    for node, options in graph.nodes_of(*REDUCTIONS):
        if graph.has(node, 1) and node.input[1] not in graph.constants:
            yield graph.at(node, "ASC106", "its axes are computed, ATC wants a constant", "Reduce over fixed axes.")
        if options.get("noop_with_empty_axes"):
            yield graph.at(node, "ASC106", "ATC ignores noop_with_empty_axes", "Reduce over fixed axes.")


def pad_axes(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC107: Pad with a list of axes."""
    for node, _ in graph.nodes_of("Pad"):
        if graph.has(node, 3):
            yield graph.at(node, "ASC107", "ATC ignores its input axes", "Give pads for all axes, or --opset 17.")


def split_outputs(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC108: Split whose outputs are not as many as its sizes."""
    for node, options in graph.nodes_of("Split"):
        sizes = graph.constant(node, 1)
        wanted = int(options.get("num_outputs", len(node.output))) if sizes is None else sizes.size
        if wanted != len(node.output):
            reason = f"it has {len(node.output)} outputs and is told to make {wanted}"
            yield graph.at(node, "ASC108", reason, "Let every piece have an output.")


def clip_limits(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC109: Clip without limits."""
    for node, options in graph.nodes_of("Clip"):
        if not (graph.has(node, 1) or graph.has(node, 2) or {"min", "max"} & set(options)):
            yield graph.at(node, "ASC109", "it has neither min nor max; ATC needs one", "Drop the clamp, or limit it.")


def average_pool(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC110: AveragePool that ATC pads otherwise or has no kernel for."""
    for node, options in graph.nodes_of("AveragePool"):
        if options.get("auto_pad") == b"SAME_LOWER":
            yield graph.at(node, "ASC110", "ATC ignores auto_pad SAME_LOWER", "Give pads as numbers.")
        if len(options.get("kernel_shape", ())) > 3:
            yield graph.at(node, "ASC110", "it pools more than 3 axes", "Pool fewer axes at a time.")


def batch_norm(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC111: batch norm that was exported as for training."""
    for node, options in graph.nodes_of("BatchNormalization"):
        if options.get("training_mode"):
            yield graph.at(node, "ASC111", "it is in training mode", "Call eval() on the module before exporting.")


def instance_norm(graph: CheckedGraph) -> Iterator[Finding]:
    """ASC112: instance norm in float16, whose variance of a large map loses digits or overflows."""
    if graph.precision != "fp16":
        return
    for node, _ in graph.nodes_of("InstanceNormalization"):
        reason = "its variance is computed in float16, which is coarse for large maps"
        fix = "Compare with `lipforge export selftest` on the NPU; --precision mixed keeps such operators in float32."
        yield graph.at(node, "ASC112", reason, fix, "warning")


NODE_RULES = (
    resize_options,
    resize_rank,
    resize_inputs,
    conv_transpose,
    conv_attributes,
    reduction_axes,
    pad_axes,
    split_outputs,
    clip_limits,
    average_pool,
    batch_norm,
    instance_norm,
)
