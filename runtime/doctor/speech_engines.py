"""The programs that can speak training data beside the fetched speech library."""

from __future__ import annotations

import subprocess

from lipforge.runtime.doctor.finding import Finding
from lipforge.runtime.speech_programs import PROGRAMS, SpeechProgram

SECTION = "voices for training data"


def speech_findings() -> list[Finding]:
    """Look for each program; none is needed by anything but ``preprocess synth --voices``."""
    return [_look_for(program) for program in PROGRAMS]


def _look_for(program: SpeechProgram) -> Finding:
    path = program.find()
    if path is None:
        told = f"not installed; {program.voices} for `lipforge preprocess synth --voices {program.name}`"
        return Finding(SECTION, program.name, "optional", told, program.how_to_install)
    try:
        version = program.version_line(path)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(SECTION, program.name, "problem", f"{path} does not run: {error}", program.how_to_install)
    return Finding(SECTION, program.name, "ok", f"{version}, {path}")
