"""Exporting a module: ONNX, TorchScript and TensorRT.

It must not know the trainer: an export needs the module and an example input.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lit_studio.base.errors import InvalidValueError, MissingDependencyError
from lit_studio.trainer.batches import move


class ExportMixin:
    """Gives a module ``to_onnx``, ``to_torchscript`` and ``to_tensorrt``."""

    if TYPE_CHECKING:
        example_input_array: Any
    _is_scripting = False  # TorchScript's compiler asks for every attribute, ``trainer`` too

    def to_onnx(self, file_path: Any = None, input_sample: Any = None, **kwargs: Any) -> Any:
        """Save the model in ONNX format.

        Args:
            file_path: a path or a binary file; None returns the program only.
            input_sample: an input for tracing; by default ``example_input_array``.
            kwargs: for ``torch.onnx.export``.

        Raises:
            InvalidValueError: there is no input to trace with.
        """
        module: Any = self
        sample = self._sample(input_sample, "to_onnx")
        was_training = module.training
        module.eval()
        try:
            with torch.no_grad():
                arguments = sample if isinstance(sample, tuple) else (sample,)
                target = str(file_path) if isinstance(file_path, Path) else file_path
                return torch.onnx.export(module, arguments, target, **kwargs)
        finally:
            module.train(was_training)

    def to_torchscript(
        self, file_path: str | Path | None = None, method: str = "script", example_inputs: Any = None, **kwargs: Any
    ) -> Any:
        """Compile the model to TorchScript, and save it if ``file_path`` is given.

        Args:
            file_path: where to save.
            method: ``"script"`` or ``"trace"``.
            example_inputs: for tracing; by default ``example_input_array``.
            kwargs: for ``torch.jit.script`` or ``torch.jit.trace``.

        Raises:
            InvalidValueError: an unknown method, or no input to trace with.
        """
        module: Any = self
        if method not in ("script", "trace"):
            raise InvalidValueError("Unknown method", value=method, valid="'script' or 'trace'")
        was_training = module.training
        module.eval()
        module.__dict__["_is_scripting"] = True
        try:
            with torch.no_grad():
                if method == "script":
                    compiled = torch.jit.script(module, **kwargs)
                else:
                    sample = self._sample(example_inputs, "to_torchscript")
                    compiled = torch.jit.trace(module, sample, **kwargs)  # type: ignore[no-untyped-call]
        finally:
            module.train(was_training)
            del module.__dict__["_is_scripting"]
        if file_path is not None:
            torch.jit.save(compiled, str(file_path))
        return compiled

    def to_tensorrt(
        self,
        file_path: str | Path | None = None,
        input_sample: Any = None,
        ir: str = "default",
        output_format: str = "exported_program",
        retrace: bool = False,
        default_device: str | torch.device = "cuda",
        **compile_kwargs: Any,
    ) -> Any:
        """Compile the model for NVIDIA's TensorRT, and save it if ``file_path`` is given.

        Args:
            file_path: where to save.
            input_sample: an input; by default ``example_input_array``.
            ir: how the model is read: ``"default"``, ``"dynamo"`` or ``"ts"``.
            output_format: of the file: ``"exported_program"`` or ``"torchscript"``.
            retrace: whether to trace the compiled model once more for saving.
            default_device: where model and input go if the model lies on the CPU.
            compile_kwargs: for ``torch_tensorrt.compile``.

        Raises:
            MissingDependencyError: torch-tensorrt is not installed.
            InvalidValueError: there is no input to trace with.
        """
        if importlib.util.find_spec("torch_tensorrt") is None:
            raise MissingDependencyError("torch-tensorrt", extra="tensorrt", purpose="`to_tensorrt`")
        tensorrt: Any = importlib.import_module("torch_tensorrt")
        module: Any = self
        if module.device.type == "cpu":
            module.to(default_device)
        sample = self._sample(input_sample, "to_tensorrt")
        inputs = list(sample) if isinstance(sample, tuple) else [sample]
        was_training = module.training
        module.eval()
        try:
            compiled = tensorrt.compile(module, ir=ir, inputs=inputs, **compile_kwargs)
            if file_path is not None:
                tensorrt.save(compiled, str(file_path), inputs=inputs, output_format=output_format, retrace=retrace)
        finally:
            module.train(was_training)
        return compiled

    def _sample(self, given: Any, method: str) -> Any:
        module: Any = self
        sample = self.example_input_array if given is None else given
        if sample is None:
            raise InvalidValueError(
                f"`{method}` needs an input to trace with", advice="Pass one, or set `self.example_input_array`."
            )
        return move(sample, module.device)
