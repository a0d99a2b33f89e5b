"""Named arrays and a header as safetensors bytes.

Data from outside can't run code, and malformed data raises only ``WireError``.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from metabonk.errors import WireError

Array = NDArray[Any]
Data: TypeAlias = bytes | NDArray[np.uint8]
Header = TypeVar("Header", bound=BaseModel)

HEADER_KEY = "metabonk"
CHECKSUM_KEY = "seal"

LENGTH_BYTES = 8
"""At the beginning of safetensors: the length of the index, little-endian."""

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


def unpack(data: Data, header_type: type[Header]) -> tuple[dict[str, Array], Header]:
    """Decode arrays and a header from an untrusted source.

    Args:
        data: from ``pack``, supposedly.
        header_type: expected model of the header.

    Returns:
        The arrays, writable: they share the memory of ``data`` if that is, and are copies if not;
        and the header.

    Raises:
        WireError: the data is something else, or fails its checksum.
    """
    memory = np.frombuffer(data, np.uint8)
    if not memory.flags.writeable:
        memory = memory.copy()
    index, content = _read_index(memory)
    arrays = {}
    for name, tensor in index.tensors.items():
        dtype = DTYPES.get(tensor.dtype)
        if dtype is None:
            raise WireError(
                f"tensor {name!r} has dtype {tensor.dtype}; allowed: {', '.join(DTYPES)}"
            )
        raw = content[slice(*tensor.data_offsets)]
        if len(raw) != math.prod(tensor.shape) * dtype.itemsize:
            raise WireError(f"not safetensors: tensor {name!r} has {len(raw)} bytes")
        # A byte other than 0 and 1 is not a valid bool for numpy and torch.
        flat = raw != 0 if dtype == np.bool_ else raw.view(dtype)
        arrays[name] = np.require(flat.reshape(tensor.shape), requirements="A")
    if HEADER_KEY not in index.metadata:
        raise WireError("these safetensors have no MetaBonk header")
    header = index.metadata[HEADER_KEY]
    if CHECKSUM_KEY in index.metadata and index.metadata[CHECKSUM_KEY] != _checksum(arrays, header):
        raise WireError("the file is corrupt: its checksum does not match")
    return arrays, _header(header, header_type)


def _checksum(arrays: Mapping[str, Array], header: str) -> str:
    """Compute the SHA-256 of the header and of every array with its name, dtype and shape."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(arrays):
        digest.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


class _Tensor(BaseModel):
    """Entry of safetensors' index.

    Attributes:
        dtype: as ``DTYPES``, or another one.
        shape: of the array.
        data_offsets: where its bytes begin and end in the content.
    """

    dtype: str
    shape: tuple[NonNegativeInt, ...]
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


class _Index(BaseModel, extra="allow"):
    """Beginning of safetensors (github.com/huggingface/safetensors, "Format")."""

    metadata: dict[str, str] = Field(default_factory=dict, alias="__metadata__")
    __pydantic_extra__: dict[str, _Tensor]

    @property
    def tensors(self) -> dict[str, _Tensor]:
        return self.__pydantic_extra__


def _read_index(memory: NDArray[np.uint8]) -> tuple[_Index, NDArray[np.uint8]]:
    """Return the index of safetensors, and their content, which the tensors divide.

    ``safetensors.deserialize`` copies the content, and holds the interpreter lock meanwhile.

    Raises:
        WireError: it is something else.
    """
    length = int.from_bytes(memory[:LENGTH_BYTES].tobytes(), "little")
    begin = LENGTH_BYTES + length
    if begin > len(memory):
        raise WireError(f"not safetensors: the index would end at byte {begin} of {len(memory)}")
    try:
        index = _Index.model_validate_json(memory[LENGTH_BYTES:begin].tobytes())
    except ValidationError as error:
        raise WireError(f"not safetensors: {error.errors(include_url=False)[0]['msg']}") from None
    end = 0
    for first, last in sorted(tensor.data_offsets for tensor in index.tensors.values()):
        if first != end or last < first:
            raise WireError(f"not safetensors: a tensor begins at {first} and ends at {last}")
        end = last
    if end != len(memory) - begin:
        raise WireError(f"not safetensors: the content has {len(memory) - begin} bytes, not {end}")
    return index, memory[begin:]


def _header(text: str, header_type: type[Header]) -> Header:
    try:
        return header_type.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise WireError(f"invalid header: {where or 'text'}: {problem['msg']}") from None
