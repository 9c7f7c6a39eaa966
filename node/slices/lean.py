"""Imports without torch's compiler, the symbols of its shapes, and distributed tensors, which nothing here uses.

transformers' modelling code imports all of them at its head or while a model is built without memory. They are more
than half of the time that takes, and 110 MB of memory in every process (transformers 5.23, torch 2.13). What is used of
the compiler without compiling is one context manager, which stands by itself, and decorators that change nothing.
Questions about symbols have plain answers for plain numbers. Without distributed tensors transformers can do.
It also reads the whole of its 2,500 files about models to know what is in which; once is enough (`import_index`). And
it compiles a thousand patterns of the names of all models' tensors, of which those of one model are used.

`install` is called before anything of this package is imported. What was imported earlier stays as it is, and all of it
is still there for whoever asks for more.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import reduce, wraps
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from operator import and_, or_
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from node.slices import import_index

_CAPABILITIES: Final = "transformers.utils.import_utils"
_MODELS: Final = "models"
_RENAMES: Final = "transformers.core_model_loading"
_BY_THEMSELVES: Final = frozenset({"torch._dynamo._trace_wrapped_higher_order_op"})
"""Parts of the packages in `_ANSWERS` that import nothing of their other parts."""


def install() -> None:
    """Have later imports leave out what is not needed. May be called again."""
    if not any(isinstance(one, _Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def is_loaded(name: str) -> bool:
    """Whether a module has been imported and is not one of those that are still empty."""
    return name in sys.modules and not isinstance(sys.modules[name], _Later)


class _Finder(MetaPathFinder):
    """Finds modules where they are, and has some of them loaded in another way."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        package = sys.modules.get(fullname.rpartition(".")[0])
        if package is not None and fullname not in _BY_THEMSELVES:
            _load(package)
        if fullname not in (*_ANSWERS, *_SPARED):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _SPARED.get(fullname, _Deferring)(spec.loader)
        return spec


class _Later(ModuleType):
    """A module that is empty until something is asked of it for which there is no simple answer."""

    def __init__(self, name: str, loader: Loader) -> None:
        super().__init__(name)
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name in _ANSWERS[self.__name__]:
            return _ANSWERS[self.__name__][name](self, name)
        _load(self)
        return getattr(self, name)


def _load(module: ModuleType) -> None:
    """Have an empty module become what it stands for."""
    if isinstance(module, _Later):
        module.__class__ = ModuleType  # type: ignore[assignment]  # mypy knows no change of class
        module.loader.exec_module(module)


class _Wrapped(Loader):
    """Loads as another loader does."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self.loader.create_module(spec)


class _Deferring(_Wrapped):
    """Makes a module and leaves it empty."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return _Later(spec.name, self.loader)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""


class _Spared(_Wrapped):
    """Loads what transformers asks about its surroundings and about itself, and makes it say and do less."""

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        self.loader.exec_module(module)
        vars(module)["is_torch_distributed_available"] = lambda: False
        name = "create_import_structure_from_path"
        if name in vars(module):
            vars(module)[name] = _kept_by_folder(vars(module)[name])


class _Unhurried(_Wrapped):
    """Loads what renames tensors, and has it compile a pattern when it is used."""

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        self.loader.exec_module(module)
        vars(module)["re"] = _Patterns()


class _Patterns:
    """The library `re`, but that a pattern is compiled when something is asked of it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(re, name)

    @staticmethod
    def compile(pattern: str, flags: int = 0) -> _Pattern:
        """See `re.compile`; what is wrong with a pattern is told later."""
        return _Pattern(pattern, flags)


class _Pattern:
    """A pattern that is compiled once something is asked of it."""

    def __init__(self, pattern: str, flags: int) -> None:
        self._told = pattern, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        # Python keeps the latest patterns, so that asking again costs little.
        return getattr(re.compile(*self._told), name)


_SPARED: Final[Mapping[str, type[_Wrapped]]] = {_CAPABILITIES: _Spared, _RENAMES: _Unhurried}


def _kept_by_folder(structure: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """Which names are where below a folder, or below that of a file; found out by reading all that is in it, once."""
    known: dict[Path, dict[str, Any]] = {}

    @wraps(structure)
    def kept(path: Any) -> dict[str, Any]:
        given = Path(path)
        folder = given.parent if given.is_file() else given
        if folder not in known:
            # Only all of them together take long.
            lasting = folder.name == _MODELS
            found = import_index.load(folder) if lasting else None
            known[folder] = structure(folder) if found is None else found
            if lasting and found is None:
                import_index.keep(folder, known[folder])
        return deepcopy(known[folder])

    return kept


def _decorator(_module: _Later, _name: str) -> Callable[..., Any]:
    """One that changes nothing."""
    return _as_it_is


def _as_it_is(fn: Callable[..., Any] | None = None, *_args: Any, **_options: Any) -> Any:
    return _as_it_is if fn is None else fn


def _question(plain: Callable[..., Any]) -> Callable[[_Later, str], Any]:
    """A question about symbols, by its answer for numbers, truth values, and shapes made of them."""

    def made(module: _Later, name: str) -> Callable[..., Any]:
        def ask(*about: Any, **options: Any) -> Any:
            if not options and all(map(_is_plain, about)):
                return plain(*about)
            _load(module)
            return getattr(module, name)(*about, **options)

        return ask

    return made


def _is_plain(about: Any) -> bool:
    if isinstance(about, tuple | list):
        return all(map(_is_plain, about))
    return type(about) in (bool, int)


def _symbols(module: _Later, name: str) -> type:
    """The class of all symbols, of which there are none until the module is loaded."""

    class Kind(type):
        def __instancecheck__(cls, instance: Any) -> bool:
            return type(module) is ModuleType and isinstance(instance, getattr(module, name))

    return Kind(name, (), {})


def _same(about: Any, *_: Any) -> Any:
    return about


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


_ANSWERS: Final[Mapping[str, Mapping[str, Callable[[_Later, str], Any]]]] = {
    "torch._dynamo": {
        "allow_in_graph": _decorator,
        "assume_constant_result": _decorator,
        "disable": _decorator,
    },
    "torch.fx.experimental.symbolic_shapes": {
        "expect_true": _question(_same),
        "guard_or_false": _question(_same),
        "guard_or_true": _question(_same),
        "guard_size_oblivious": _question(_same),
        "guarding_hint_or_throw": _question(_same),
        "has_guarding_hint": _question(lambda *_: True),
        "is_nested_int": _question(lambda *_: False),
        "statically_known_true": _question(_same),
        "sym_and": _question(lambda *about: reduce(and_, about)),
        "sym_eq": _question(_equal),
        "sym_or": _question(lambda *about: reduce(or_, about)),
    },
    "sympy": {"Basic": _symbols},
}
"""What can be answered for modules that are not loaded. The first is torch's compiler, the others are about symbols."""
