"""What ``lipforge doctor`` looks at: the machine, the packages, accelerators, codecs and models, each with its fix."""

from __future__ import annotations

from lipforge.runtime.doctor.accelerators import accelerator_findings
from lipforge.runtime.doctor.finding import Finding, Status, healthy
from lipforge.runtime.doctor.kernel_backends import kernel_findings
from lipforge.runtime.doctor.machine import machine_findings
from lipforge.runtime.doctor.media_tools import media_findings
from lipforge.runtime.doctor.models import model_findings
from lipforge.runtime.doctor.runtime_packages import package_findings
from lipforge.runtime.doctor.speech_engines import speech_findings

__all__ = ["Finding", "Status", "examine", "healthy"]


def examine() -> list[Finding]:
    """Look at everything, in the order of the report; takes a few seconds where torch is installed."""
    return [
        *machine_findings(),
        *package_findings(),
        *media_findings(),
        *accelerator_findings(),
        *kernel_findings(),
        *model_findings(),
        *speech_findings(),
    ]
