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

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I64": np.dtype(np.int64),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
"""Of all that safetensors knows, what MetaBonk sends."""


def pack(arrays: Mapping[str, Array], header: BaseModel) -> bytes:
    """The bytes of these arrays and this header."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        contiguous[name] = contiguous[name].reshape(array.shape)  # It makes scalars vectors.
    return bytes(
        safetensors.numpy.save(contiguous, metadata={HEADER_KEY: header.model_dump_json()})
    )


def unpack(data: bytes, header_type: type[Header]) -> tuple[dict[str, Array], Header]:
    """Arrays and header of bytes from anywhere.

    Args:
        data: from ``pack``, or not.
        header_type: what the header is expected to be.

    Returns:
        The arrays, writable and copied out of ``data``; and the header.

    Raises:
        WireError: they are something else.
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
    return arrays, _header(data, header_type)


def digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 of arrays and their names, for what has to lie on a disk for long."""
    summed = hashlib.sha256()
    for name in sorted(arrays):
        summed.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        summed.update(arrays[name].tobytes())
    return summed.hexdigest()


def _header(data: bytes, header_type: type[Header]) -> Header:
    # safetensors gives metadata only of files. Its own check of the length has passed.
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if HEADER_KEY not in metadata:
        raise WireError("these safetensors are not MetaBonk's: they carry no header of its own")
    try:
        return header_type.model_validate_json(metadata[HEADER_KEY])
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise WireError(f"the header's {where or 'text'} is wrong: {problem['msg']}") from None
