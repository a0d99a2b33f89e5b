"""Named arrays and a header as safetensors bytes.

Data from outside can't run code, and malformed data raises only ``WireError``.
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
CHECKSUM_KEY = "seal"

DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I64": np.dtype(np.int64),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
"""The dtypes of safetensors that MetaBonk uses."""


def pack(arrays: Mapping[str, Array], header: BaseModel, *, with_checksum: bool = False) -> bytes:
    """Encode arrays and a header.

    Args:
        arrays: by name.
        header: describes them.
        with_checksum: detect any later change, for data that is stored for long.
    """
    metadata = {HEADER_KEY: header.model_dump_json()}
    if with_checksum:
        metadata[CHECKSUM_KEY] = _checksum(arrays, metadata[HEADER_KEY])
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        contiguous[name] = contiguous[name].reshape(
            array.shape
        )  # ascontiguousarray makes scalars 1-D.
    return bytes(safetensors.numpy.save(contiguous, metadata=metadata))


def unpack(data: bytes, header_type: type[Header]) -> tuple[dict[str, Array], Header]:
    """Decode arrays and a header from an untrusted source.

    Args:
        data: from ``pack``, supposedly.
        header_type: expected model of the header.

    Returns:
        The arrays, writable and copied out of ``data``; and the header.

    Raises:
        WireError: the data is something else, or fails its checksum.
    """
    try:
        tensors: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise WireError(f"not safetensors: {error}") from None
    arrays = {}
    for name, tensor in tensors:
        dtype = DTYPES.get(tensor["dtype"])
        if dtype is None:
            raise WireError(
                f"tensor {name!r} has dtype {tensor['dtype']}; allowed: {', '.join(DTYPES)}"
            )
        # A byte other than 0 and 1 is not a valid bool for numpy and torch.
        raw = np.frombuffer(tensor["data"], np.uint8 if dtype == np.bool_ else dtype)
        flat = raw != 0 if dtype == np.bool_ else raw
        arrays[name] = flat.reshape(tensor["shape"])
    metadata = _metadata(data)
    if CHECKSUM_KEY in metadata and metadata[CHECKSUM_KEY] != _checksum(
        arrays, metadata[HEADER_KEY]
    ):
        raise WireError("the file is corrupt: its checksum does not match")
    return arrays, _header(metadata[HEADER_KEY], header_type)


def _checksum(arrays: Mapping[str, Array], header: str) -> str:
    """Compute the SHA-256 of the header and of every array with its name, dtype and shape."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        digest.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _metadata(data: bytes) -> dict[str, str]:
    # safetensors reads metadata of files only. It has already checked the length.
    length = int.from_bytes(data[:8], "little")
    metadata: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    if HEADER_KEY not in metadata:
        raise WireError("these safetensors have no MetaBonk header")
    return metadata


def _header(text: str, header_type: type[Header]) -> Header:
    try:
        return header_type.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise WireError(f"invalid header: {where or 'text'}: {problem['msg']}") from None
