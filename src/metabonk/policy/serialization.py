"""Named arrays and a header as safetensors bytes.

Nothing that arrives can run code; nothing that is malformed raises anything but WireError.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from metabonk.errors import WireError

Array = NDArray[Any]
Header = TypeVar("Header", bound=BaseModel)

HEADER_KEY = "metabonk"
SEAL_KEY = "seal"

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I64": np.dtype(np.int64),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
"""Of all that safetensors knows, what MetaBonk sends."""


def pack(arrays: Mapping[str, Array], header: BaseModel, *, sealed: bool = False) -> bytes:
    """The bytes of these arrays and this header.

    Args:
        arrays: by name.
        header: what they are.
        sealed: whether any change to either is to be noticed: for what lies on a disk for long.
    """
    metadata = {HEADER_KEY: header.model_dump_json()}
    if sealed:
        metadata[SEAL_KEY] = _seal(arrays, metadata[HEADER_KEY])
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        contiguous[name] = contiguous[name].reshape(array.shape)  # It makes scalars vectors.
    return bytes(safetensors.numpy.save(contiguous, metadata=metadata))


def unpack(data: bytes, header_type: type[Header]) -> tuple[dict[str, Array], Header]:
    """Arrays and header of bytes from anywhere.

    Args:
        data: from ``pack``, or not.
        header_type: what the header is expected to be.

    Returns:
        The arrays, writable and copied out of ``data``; and the header.

    Raises:
        WireError: they are something else, or were sealed and have changed since.
    """
    try:
        tensors: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise WireError(f"this is not safetensors: {error}") from None
    arrays = {}
    for name, tensor in tensors:
        dtype = DTYPES.get(tensor["dtype"])
        if dtype is None:
            raise WireError(
                f"the tensor {name!r} has the type {tensor['dtype']}; known are {', '.join(DTYPES)}"
            )
        # A byte that is neither 0 nor 1 is no valid bool to numpy and torch.
        raw = np.frombuffer(tensor["data"], np.uint8 if dtype == np.bool_ else dtype)
        flat = raw != 0 if dtype == np.bool_ else raw
        arrays[name] = flat.reshape(tensor["shape"])
    metadata = _metadata(data)
    if SEAL_KEY in metadata and metadata[SEAL_KEY] != _seal(arrays, metadata[HEADER_KEY]):
        raise WireError("this is not what was written: the file is damaged")
    return arrays, _header(metadata[HEADER_KEY], header_type)


def _seal(arrays: Mapping[str, Array], header: str) -> str:
    """SHA-256 of the header and of every array with its name, type and shape."""
    summed = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        summed.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        summed.update(arrays[name].tobytes())
    return summed.hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    # safetensors gives metadata only of files. Its own check of the length has passed.
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if HEADER_KEY not in metadata:
        raise WireError("these safetensors are not MetaBonk's: they carry no header of its own")
    return metadata


def _header(text: str, header_type: type[Header]) -> Header:
    try:
        return header_type.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise WireError(f"the header's {where or 'text'} is wrong: {problem['msg']}") from None
