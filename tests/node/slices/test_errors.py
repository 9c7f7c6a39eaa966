"""What a person reads when a slice cannot be."""

from __future__ import annotations

from pathlib import Path

from node.slices import errors


def test_a_bad_checkpoint_names_file_tensor_problem_and_next_step() -> None:
    error = errors.BadCheckpoint(Path("/models/a.safetensors"), "is cut off", tensor="model.norm.weight")
    assert str(error) == (
        "/models/a.safetensors: tensor model.norm.weight: is cut off; download the checkpoint again"
    )


def test_every_error_of_the_package_is_a_slice_error() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    raised = [cls for cls in classes if issubclass(cls, Exception)]
    assert len(raised) > 12
    assert all(issubclass(cls, errors.SliceError) for cls in raised)


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.SliceError):
            assert name in errors.__doc__


def test_numbers_are_kept_as_attributes() -> None:
    assert errors.ContextFull(513, 512).max_positions == 512
    assert errors.OutOfMemoryBudget(10, 3).free_bytes == 3
    assert errors.TruncatedTooFar(4, 9).reachable == 9
