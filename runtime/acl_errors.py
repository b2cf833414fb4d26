"""What the error codes of CANN's runtime mean and what to do about them."""

from __future__ import annotations

REPEAT_INITIALIZE = 100002
"""Somebody else in this process, such as torch_npu, has initialised acl; not a fault."""

# code: (CANN's name, what to do)
CODES: dict[int, tuple[str, str]] = {
    100000: ("INVALID_PARAM", "an argument was not accepted; please report it"),
    100001: ("UNINITIALIZE", "acl was finalised by another library in this process; start the process again"),
    100002: ("REPEAT_INITIALIZE", "acl was already initialised in this process"),
    100003: ("INVALID_FILE", "the OM is missing, unreadable or no OM; run the bundle's convert.sh again"),
    100011: ("INVALID_MODEL_ID", "the model was unloaded; please report it"),
    100012: ("DESERIALIZE_MODEL", "the OM is damaged or made by a newer CANN; run convert.sh with this machine's CANN"),
    100013: ("PARSE_MODEL", "the OM is damaged or made by a newer CANN; run convert.sh with this machine's CANN"),
    100014: ("READ_MODEL_FAILURE", "the OM cannot be read; check the file and its permissions"),
    100017: ("MODEL_INPUT_NOT_MATCH", "the inputs are not the OM's; convert the bundle again"),
    100018: ("MODEL_OUTPUT_NOT_MATCH", "the outputs are not the OM's; convert the bundle again"),
    100037: ("REPEAT_FINALIZE", "acl was already finalised by another library in this process"),
    107000: ("RT_PARAM_INVALID", "an argument was not accepted; please report it"),
    107001: ("RT_INVALID_DEVICEID", "no such NPU; npu-smi info lists them, ASCEND_RT_VISIBLE_DEVICES chooses"),
    107002: ("RT_CONTEXT_NULL", "the thread has no context; please report it"),
    145003: ("GE_MODEL_ID_INVALID", "the model was unloaded; please report it"),
    145006: ("GE_DATA_SIZE_INVALID", "a buffer is not of the size that the OM wants; convert the bundle again"),
    145013: ("GE_DYNAMIC_BATCH_SIZE_INVALID", "the OM has no such batch gear; convert it again with that --batch"),
    200000: ("BAD_ALLOC", "the host is out of memory; close other programs"),
    207001: ("RT_MEMORY_ALLOCATION", "the NPU is out of memory; npu-smi info shows who holds it; use smaller gears"),
    207004: ("RT_NO_DEVICE", "no NPU is visible; check the driver with npu-smi info and that /dev/davinci* is here"),
    500001: ("FAILURE", "an internal error; the log in ~/ascend/log tells more"),
    500002: ("GE_FAILURE", "the graph engine failed; the log in ~/ascend/log tells more"),
}

_KINDS = {
    1: "a call was not accepted; please report it with the log in ~/ascend/log",
    2: "a resource of the NPU or its host is exhausted; npu-smi info shows who holds it",
    5: "CANN, its driver or the NPU failed; the log in ~/ascend/log tells more, npu-smi info the NPU's health",
}


def explain(code: int) -> str:
    """Return CANN's name of an error code and what to do, in one line without a full stop.

    A code that is not in the table is explained by its first digit, which is CANN's class of errors.
    """
    if code in CODES:
        name, advice = CODES[code]
        return f"{name}: {advice}"
    return _KINDS.get(code // 100_000, "an error that this version does not know; the log in ~/ascend/log tells more")
