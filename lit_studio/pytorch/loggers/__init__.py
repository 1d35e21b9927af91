"""Lightning's `lightning.pytorch.loggers`: loggers.

It must not hold anything of its own: these are other names for what lies in `lit_studio.trainer`.
"""

from lit_studio.loggers import *
from lit_studio.loggers import __all__ as __all__
from lit_studio.loggers import __getattr__ as __getattr__  # says why a logger isn't there
from lit_studio.pytorch.loggers import (
    csv_logs as csv_logs,
)
from lit_studio.pytorch.loggers import (
    logger as logger,
)
from lit_studio.pytorch.loggers import (
    mlflow as mlflow,
)
from lit_studio.pytorch.loggers import (
    tensorboard as tensorboard,
)
from lit_studio.pytorch.loggers import (
    wandb as wandb,
)
