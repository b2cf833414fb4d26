"""A stand-in for CANN's ``atc``: checks its options by the published rules and writes an OM that holds the ONNX.

Environment: FAKE_ATC_FAIL=CODE makes it fail with that code, FAKE_ATC_ARCH=x86_64 adds the host to the OM's name,
FAKE_ATC_SILENT=1 makes it end well without an OM.
"""

from __future__ import annotations

import json
import os
import re
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import onnx

GEAR_INPUT = {"name": "ascend_mbatch_shape_data", "dtype": "int64", "dims": [1]}
PATH = re.compile(r"[A-Za-z0-9_./\u4e00-\u9fa5-]+")
SOC = re.compile(r"Ascend(310(P\d|B\d)?|910\w*|950\w*|035)")
EXCLUSIVE = (
    ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims", "input_shape_range"),
    ("precision_mode", "precision_mode_v2"),
    ("dynamic_dims", "insert_op_conf"),
)
VALUES = {
    "framework": {"5"},
    "input_format": {"NCHW", "ND", "NCDHW"},
    "precision_mode_v2": {"fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16"},
    "output_type": {"FP32", "FP16", "UINT8"},
    "log": {"debug", "info", "warning", "error", "null"},
}
OPTIONS = {"model", "output", "soc_version", "input_shape", *VALUES, *(name for group in EXCLUSIVE for name in group)}
UNREGISTERED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "Loop", "Scan", "STFT", "DFT", "RNN"}
TYPES = {1: "float32", 2: "uint8", 7: "int64", 10: "float16", 6: "int32"}


def refuse(code: str, reason: str) -> NoReturn:
    print("ATC start working now, please wait for a moment.\nATC run failed, Please check the detail log.")
    print(f"{code}: {reason}")
    sys.exit(255)


def parse(words: list[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in OPTIONS or name in options:
            refuse("E10001", f"Value [{word}] for parameter is invalid.")
        options[name] = value
    for name in ("framework", "model", "output", "soc_version"):
        if name not in options:
            refuse("E10004", f"Value for [--{name}] is empty.")
    for name, allowed in VALUES.items():
        if name in options and options[name] not in allowed:
            refuse("E10001", f"Value [{options[name]}] for parameter [--{name}] is invalid.")
    for group in EXCLUSIVE:
        if sum(name in options for name in group) > 1:
            refuse("E10009", f"[{', '.join(group)}] cannot be configured at the same time.")
    for name in ("model", "output", "insert_op_conf"):
        if name in options and not PATH.fullmatch(str(Path(options[name]).resolve())):
            refuse("E10001", f"Path [{options[name]}] of [--{name}] holds characters that are not allowed.")
    if not SOC.fullmatch(options["soc_version"]):
        refuse("E10001", f"Value [{options['soc_version']}] for parameter [--soc_version] is invalid.")
    return options


def read_model(options: dict[str, str]) -> onnx.ModelProto:
    if not Path(options["model"]).is_file():
        refuse("E13000", f"Failed to read [{options['model']}]: no such file.")
    model = onnx.load(options["model"])
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        late = opset == 18 and node.op_type in ("ReduceL1", "ReduceL2")
        if not 11 <= opset <= 18 or node.op_type in UNREGISTERED or late or node.domain not in ("", "ai.onnx"):
            refuse("E16002", f"No ONNX parser is registered for optype ai.onnx::{opset}::{node.op_type}.")
    if not model.graph.input:
        refuse("E16001", "The ONNX graph has no input.")
    return model


def input_shapes(options: dict[str, str], model: onnx.ModelProto) -> dict[str, list[int]]:
    shapes = {
        value.name: [size.dim_value if size.HasField("dim_value") else -1 for size in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }
    for entry in filter(None, options.get("input_shape", "").split(";")):
        name, _, sizes = entry.rpartition(":")
        if name not in shapes:
            refuse("E10016", f"Opname [{name}] of [--input_shape] is not found in the model.")
        wanted = [int(size) for size in sizes.split(",")]
        fits = len(wanted) == len(shapes[name])
        if not fits or any(s != -1 and w != s for w, s in zip(wanted, shapes[name], strict=True)):
            refuse("E10014", f"Shape {wanted} of [{name}] is not that of the model, {shapes[name]}.")
        shapes[name] = wanted
    return shapes


def batch_gears(options: dict[str, str], shapes: dict[str, list[int]]) -> list[int]:
    if "dynamic_batch_size" not in options:
        return []
    gears = [int(gear) for gear in options["dynamic_batch_size"].split(",")]
    if len(gears) < 2:
        refuse("E10035", "[--dynamic_batch_size] needs at least 2 profiles.")
    if len(gears) > 100:
        refuse("E10036", "[--dynamic_batch_size] takes at most 100 profiles.")
    if len(set(gears)) != len(gears):
        refuse("E10039", "[--dynamic_batch_size] has profiles twice.")
    if any(-1 in shape[1:] for shape in shapes.values()):
        refuse("E10018", "Only the batch may be -1 with [--dynamic_batch_size].")
    if not any(shape[0] == -1 for shape in shapes.values()):
        refuse("E10031", "No batch is -1 although [--dynamic_batch_size] is set.")
    return gears


def read_aipp(options: dict[str, str], shapes: dict[str, list[int]]) -> dict[str, dict[str, list[float]]]:
    if "insert_op_conf" not in options:
        return {}
    if options.get("input_format", "NCHW") != "NCHW":
        refuse("E10001", "AIPP of an ONNX model needs [--input_format=NCHW].")
    found = {}
    for block in re.findall(r"aipp_op\s*\{(.*?)\}", Path(options["insert_op_conf"]).read_text(), re.DOTALL):
        values = dict(re.findall(r"(\w+)\s*:\s*(\S+)", block))
        if values.pop("aipp_mode") != "static" or values.pop("input_format") != "RGB888_U8":
            refuse("E10001", "This stand-in knows static AIPP of RGB888_U8.")
        name = list(shapes)[int(values.pop("related_input_rank", "0"))]
        _, channels, height, width = shapes[name]
        sizes = int(values.pop("src_image_size_h")), int(values.pop("src_image_size_w"))
        if channels != 3 or sizes != (height, width):
            refuse("E10001", f"AIPP of {sizes} does not fit [{name}] {shapes[name]}.")
        if {values.pop("csc_switch", "false"), values.pop("rbuv_swap_switch", "false")} != {"false"}:
            refuse("E10001", "This stand-in knows neither colour conversion nor swapped channels.")
        found[name] = {
            kind: [float(values.pop(f"{kind}_{channel}", default)) for channel in range(3)]
            for kind, default in (("mean_chn", "0"), ("min_chn", "0"), ("var_reci_chn", "1"))
        }
        if values:
            refuse("E10001", f"AIPP has unknown keys: {sorted(values)}.")
    return found


def main(words: list[str]) -> None:
    if code := os.environ.get("FAKE_ATC_FAIL"):
        refuse(code, "as the test asked.")
    options = parse(words)
    model = read_model(options)
    shapes = input_shapes(options, model)
    gears = batch_gears(options, shapes)
    aipp = read_aipp(options, shapes)
    inputs: list[dict[str, Any]] = []
    for value in model.graph.input:
        dims = shapes[value.name]
        if value.name in aipp:
            dims = [dims[0], dims[2], dims[3], dims[1]]
        dtype = "uint8" if value.name in aipp else TYPES[value.type.tensor_type.elem_type]
        inputs.append({"name": value.name, "dtype": dtype, "dims": dims})
    batch = -1 if gears else next(iter(shapes.values()))[0]
    outputs = [
        {
            "name": f"{next(node.name for node in model.graph.node if value.name in node.output)}:0:{value.name}",
            "dtype": {"FP32": "float32", "FP16": "float16"}.get(
                options.get("output_type", ""), TYPES[value.type.tensor_type.elem_type]
            ),
            "dims": [batch, *(size.dim_value for size in value.type.tensor_type.shape.dim[1:])],
        }
        for value in model.graph.output
    ]
    about = {
        "soc": options["soc_version"],
        "inputs": inputs + ([GEAR_INPUT] if gears else []),
        "outputs": outputs,
        "gears": gears,
        "precision": options.get("precision_mode_v2", "fp16"),
        "aipp": aipp,
    }
    if not os.environ.get("FAKE_ATC_SILENT"):
        arch = os.environ.get("FAKE_ATC_ARCH")
        name = options["output"] + (f"_linux_{arch}" if arch else "") + ".om"
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("om.json", json.dumps(about))
            archive.writestr("model.onnx", model.SerializeToString())
    print("ATC start working now, please wait for a moment.\n...\nATC run success, welcome to the next use.")


if __name__ == "__main__":
    main(sys.argv[1:])
