"""Trained policies as files for PyTorch (``.pt2``) or ONNX Runtime (``.onnx``)."""

import io
import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from metabonk.errors import ExportError
from metabonk.inference.program import Program, ProgramInfo
from metabonk.inference.trained import Trained
from metabonk.settings.commands import add_extra
from metabonk.system.files import write_atomically

INFO = "metabonk.json"
"""Name of a ``.pt2`` file's extra file that holds a ``ProgramInfo`` as JSON."""

INFO_KEY = "metabonk"
"""Key of an ``.onnx`` file's metadata that holds it."""

ONNX_MODULES = ("onnx", "onnxscript")


def check_target(file: Path) -> None:
    """Check whether a policy can be exported to ``file``.

    Raises:
        ExportError: its suffix names no format, a package for it is missing, it exists, or its
            folder doesn't.
    """
    if file.suffix not in (".pt2", ".onnx"):
        raise ExportError(
            f"{file} has the suffix {file.suffix!r}, which names no format: choose .pt2 for "
            "PyTorch or .onnx for ONNX Runtime"
        )
    missing = [name for name in ONNX_MODULES if find_spec(name) is None]
    if file.suffix == ".onnx" and missing:
        raise ExportError(
            f"exporting to .onnx needs the package {missing[0]}: run {add_extra('export')!r}, or "
            "export to .pt2"
        )
    if file.exists():
        raise ExportError(f"{file} exists already: delete it, or choose another name")
    if not file.parent.is_dir():
        raise ExportError(f"{file.parent} is not a folder: create it, or choose another one")


def export(trained: Trained, file: Path) -> None:
    """Write a policy to a file; see ``Program`` for its inputs and outputs.

    Args:
        trained: the policy.
        file: in the format that its suffix names.

    Raises:
        ExportError: see ``check_target``; or the file can't be written.
    """
    check_target(file)
    program = Program(trained.network, trained.interface.actions).eval()
    info = ProgramInfo.of(trained).model_dump_json()
    data = _to_onnx(program, info) if file.suffix == ".onnx" else _to_pt2(program, info)
    try:
        write_atomically(file, data)
    except OSError as error:
        raise ExportError(f"can't write {file}: {error.strerror}") from None


def _to_pt2(program: Program, info: str) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of PyTorch about itself.
        torch.export.save(_traced(program), buffer, extra_files={INFO: info})
    return buffer.getvalue()


def _to_onnx(program: Program, info: str) -> bytes:
    examples = program.examples
    # It reports that torchvision is missing, which nothing here needs.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of PyTorch about itself.
        exported = torch.onnx.export(
            _traced(program),
            input_names=list(examples),
            output_names=list(program(**examples)),
            dynamo=True,
            verbose=False,
        )
    assert exported is not None, "dynamo=True returns a program"
    exported.model.metadata_props[INFO_KEY] = info
    data: bytes = exported.model_proto.SerializeToString()
    return data


def _traced(program: Program) -> ExportedProgram:
    examples = program.examples
    shapes = {name: {0: Dim("batch", min=1)} for name in examples}
    return torch.export.export(program, (), kwargs=examples, dynamic_shapes=shapes)
