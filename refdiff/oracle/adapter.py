"""A Python adapter: any object or module with one function for each family it has.

It may say name, version, dtype ("float64") and conventions ({"name": "value"}). A
function takes one dict, the problem, its inputs as arrays, and "dtype", the name of their
type (float32 for bfloat16), and returns an array or {output: array}. NotImplementedError
means "I do not have this"; any other error is a refusal.
"""

import copy
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

DTYPES = {  # what is fed; a bfloat16 target casts its inputs itself, they are exact
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.float32,
}


def load(path: str) -> Any:
    """Import "package.module:adapter", or "package.module" itself; a class is called.

    ImportError or AttributeError if it is not there.
    """
    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    for part in filter(None, name.split(".")):
        found = getattr(found, part)
    return found() if isinstance(found, type) else found


def capabilities(adapter: Any, families: list) -> dict:
    """What an adapter says of itself, and which of the families it has."""
    return {
        "name": getattr(adapter, "name", getattr(adapter, "__name__", "adapter")),
        "version": getattr(adapter, "version", ""),
        "dtype": getattr(adapter, "dtype", "float64"),
        "conventions": getattr(adapter, "conventions", {}),
        "families": [n for n in families if callable(getattr(adapter, n, None))],
    }


def answer(adapter: Any, request: dict, model: Callable | None = None) -> dict:
    """Ask an adapter one thing: {"outputs", "dtypes", "mutated"}, or how it failed."""
    function = getattr(adapter, request["family"], None)
    if not callable(function):
        return {"unsupported": "there is no function of this name"}
    dtype = DTYPES[request["dtype"]]
    inputs = {k: feed(v, dtype) for k, v in request["inputs"].items()}
    fed = {k: v.copy() for k, v in inputs.items()}
    p = copy.deepcopy(request["problem"]) | fed | {"dtype": np.dtype(dtype).name}
    if model is not None:
        p["model"] = lambda x, t: np.asarray(model(x, t), dtype)
    try:
        found = function(p)
    except NotImplementedError as error:
        return {"unsupported": str(error) or "not implemented"}
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  sys.exit() is a finding too
        return {"error": f"{type(error).__name__}: {error}"}
    mutated = [k for k in fed if not np.array_equal(fed[k], inputs[k])]
    return {**_arrays(found), "mutated": mutated}


def feed(value: Any, dtype: type) -> np.ndarray:
    """An input as an array: floats in the dtype, integers as they are."""
    array = np.asarray(value)
    return array.astype(dtype) if array.dtype.kind == "f" else array


def _arrays(found):
    """What came back as arrays, and their types."""
    try:
        if isinstance(found, dict):
            outputs = {str(k): _array(v) for k, v in found.items()}
            return {
                "outputs": outputs,
                "dtypes": {k: v.dtype.name for k, v in outputs.items()},
            }
        array = _array(found)
        return {"outputs": array, "dtypes": array.dtype.name}
    except Exception as error:  # noqa: BLE001  whatever it is, it is reported
        return {
            "broken": f"what came back is no array: {type(error).__name__}: {error}"
        }


def _array(value):
    """What came back as an array; a tensor that has a gradient, or a device, without."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def plain(value: Any) -> Any:
    """An array as JSON holds it: nested lists, and "nan", "inf", "-inf" by name.

    What is not made of numbers (complex ones among them) becomes None.
    """
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        array = _as_float(array)
    if array is None or array.dtype.kind != "f" or np.isfinite(array).all():
        return None if array is None else array.tolist()
    named = np.frompyfunc(_by_name, 1, 1)(array.astype(float))
    return np.asarray(named, object).tolist()  # of one number it makes no array


def _as_float(array):
    """An array of another kind as floats (bfloat16 from elsewhere), or None."""
    if array.dtype.kind == "c":
        return None
    try:
        return array.astype(float)
    except (TypeError, ValueError):
        return None


def _by_name(x):
    return x if math.isfinite(x) else str(float(x))


class InProcess:
    """An adapter asked in this process: for tests and mutants, which neither hang nor die."""

    def __init__(self, adapter: Any, dtype: str | None = None):
        self.adapter, self.dtype = adapter, dtype

    def ask(self, request: dict, model: Callable | None = None) -> dict:
        """Answer one request, as a child process would."""
        if request["verb"] == "capabilities":
            return capabilities(self.adapter, request["families"])
        return answer(self.adapter, request, model)

    def close(self) -> None:
        """Nothing is held."""
