"""Lightning's `lightning.pytorch.loggers.mlflow`: the MLflow logger.

It must not hold anything of its own: these are other names for what lies in `lit_studio.loggers`.
"""

from lit_studio.loggers.mlflow import MLFlowLogger

__all__ = [
    "MLFlowLogger",
]
