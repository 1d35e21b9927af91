"""Who started this process and how ranks find each other: torchrun, Slurm, LSF, MPI, Kubeflow, or Lit Studio itself.

It must not know strategies, nor start anything: an environment reads variables and answers.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch

from lit_studio.base.errors import InvalidStateError, InvalidValueError, MissingDependencyError
from lit_studio.trainer.rank_zero import rank_zero_warn

LOOPBACK = "127.0.0.1"


class ClusterEnvironment(ABC):
    """Subclass it for a cluster of your own and pass an instance as ``plugins``."""

    @property
    @abstractmethod
    def creates_processes_externally(self) -> bool:
        """Whether somebody else starts the ranks of this machine; if not, the launcher does."""

    @property
    @abstractmethod
    def main_address(self) -> str:
        """The host of rank 0."""

    @property
    @abstractmethod
    def main_port(self) -> int:
        """The port at which rank 0 gathers the others."""

    @staticmethod
    @abstractmethod
    def detect() -> bool:
        """Whether this process runs in such an environment."""

    @abstractmethod
    def world_size(self) -> int:
        """Ranks on all nodes."""

    @abstractmethod
    def set_world_size(self, size: int) -> None:
        """Take ``size`` up, unless the environment knows better."""

    @abstractmethod
    def global_rank(self) -> int:
        """This process among all."""

    @abstractmethod
    def set_global_rank(self, rank: int) -> None:
        """Take ``rank`` up, unless the environment knows better."""

    @abstractmethod
    def local_rank(self) -> int:
        """This process on its node."""

    @abstractmethod
    def node_rank(self) -> int:
        """This node among all."""

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:  # noqa: B027 - optional
        """Raise InvalidValueError if the environment started another number of processes than these arguments mean."""

    def teardown(self) -> None:  # noqa: B027 - optional
        """Clean up what was left in the process's environment."""


class _FromVariables(ClusterEnvironment):
    """Ranks that somebody else started and told who they are."""

    RANK = SIZE = LOCAL = NODE = ""

    @property
    def creates_processes_externally(self) -> bool:
        """True."""
        return True

    @property
    def main_address(self) -> str:
        """``MASTER_ADDR``; this machine without it."""
        return os.environ.get("MASTER_ADDR", LOOPBACK)

    @property
    def main_port(self) -> int:
        """``MASTER_PORT``; 12910 without it."""
        return int(os.environ.get("MASTER_PORT", "12910"))

    def world_size(self) -> int:
        """As the environment says."""
        return self._number(self.SIZE)

    def set_world_size(self, size: int) -> None:
        """Ignored."""

    def global_rank(self) -> int:
        """As the environment says."""
        return self._number(self.RANK)

    def set_global_rank(self, rank: int) -> None:
        """Ignored."""

    def local_rank(self) -> int:
        """As the environment says."""
        return self._number(self.LOCAL)

    def node_rank(self) -> int:
        """As the environment says; 0 if it doesn't."""
        return int(os.environ.get(self.NODE, "0"))

    def _number(self, variable: str) -> int:
        if variable not in os.environ:
            raise InvalidStateError(f"{type(self).__name__} needs the variable {variable}, which is not set")
        return int(os.environ[variable])


class LightningEnvironment(ClusterEnvironment):
    """One machine whose ranks we start, or several where somebody runs the script once on each.

    For several, ``MASTER_ADDR``, ``MASTER_PORT`` and ``NODE_RANK`` must be set on each. ``LOCAL_RANK`` says that the
    process is a rank already.
    """

    def __init__(self) -> None:
        super().__init__()
        self._port: int | None = None
        self._rank, self._size = 0, 1

    @property
    def creates_processes_externally(self) -> bool:
        """Whether ``LOCAL_RANK`` is set."""
        return "LOCAL_RANK" in os.environ

    @property
    def main_address(self) -> str:
        """``MASTER_ADDR``; this machine without it."""
        return os.environ.get("MASTER_ADDR", LOOPBACK)

    @property
    def main_port(self) -> int:
        """``MASTER_PORT``, or one that is free."""
        if self._port is None:
            self._port = int(os.environ.get("MASTER_PORT", "0")) or find_free_network_port()
        return self._port

    @staticmethod
    def detect() -> bool:
        """True: it works wherever nothing else is."""
        return True

    def world_size(self) -> int:
        """As set."""
        return self._size

    def set_world_size(self, size: int) -> None:
        """Note it."""
        self._size = size

    def global_rank(self) -> int:
        """As set."""
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        """Note it."""
        self._rank = rank

    def local_rank(self) -> int:
        """``LOCAL_RANK``, 0 without it."""
        return int(os.environ.get("LOCAL_RANK", "0"))

    def node_rank(self) -> int:
        """``NODE_RANK`` or ``GROUP_RANK``, 0 without them."""
        return int(os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0")))

    def forget_port(self) -> None:
        """Meet at another port the next time: the system may keep this one for a while."""
        self._port = None

    def teardown(self) -> None:
        """Forget ``WORLD_SIZE``, which was set for the ranks."""
        os.environ.pop("WORLD_SIZE", None)


class TorchElasticEnvironment(_FromVariables):
    """Started by ``torchrun``."""

    RANK, SIZE, LOCAL, NODE = "RANK", "WORLD_SIZE", "LOCAL_RANK", "GROUP_RANK"

    @staticmethod
    def detect() -> bool:
        """Whether torchrun started this process."""
        return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Raise InvalidValueError if torchrun started another number of ranks."""
        if num_devices * num_nodes != self.world_size():
            raise InvalidValueError(
                f"torchrun started {self.world_size()} ranks (its --nproc-per-node times its --nnodes), but the "
                "Trainer's or Fabric's `devices` times `num_nodes` is another number",
                value=f"devices={num_devices}, num_nodes={num_nodes}",
                valid=f"a product of {self.world_size()}",
            )


class SLURMEnvironment(_FromVariables):
    """Started by Slurm's ``srun``.

    Args:
        auto_requeue: whether a fit asks Slurm to run the job again when it is about to be ended.
        requeue_signal: the signal by which Slurm tells so, ``SIGUSR1`` by default.

    Raises:
        InvalidStateError: ``srun --ntasks`` without ``--ntasks-per-node``, so that ranks of a node aren't known.
    """

    RANK, SIZE, LOCAL, NODE = "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_NODEID"

    def __init__(self, auto_requeue: bool = True, requeue_signal: signal.Signals | None = None) -> None:
        super().__init__()
        self.auto_requeue = auto_requeue
        self.requeue_signal = signal.SIGUSR1 if requeue_signal is None and os.name != "nt" else requeue_signal
        if shutil.which("srun") and not {"SLURM_STEP_ID", "SLURM_STEPID"} & set(os.environ):
            rank_zero_warn("The `srun` command is available on your system but is not used: start the job with `srun`.")
        if int(os.environ.get("SLURM_NTASKS", "1")) > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise InvalidStateError(
                f"You set `--ntasks={os.environ['SLURM_NTASKS']}` in your SLURM bash script, but this variable is not "
                "supported",
                advice="Use `--ntasks-per-node` instead.",
            )

    @property
    def main_address(self) -> str:
        """``MASTER_ADDR``, or the first host of ``SLURM_NODELIST``."""
        given = os.environ.get("MASTER_ADDR")
        return given or self.resolve_root_node_address(os.environ.get("SLURM_NODELIST", LOOPBACK))

    @property
    def main_port(self) -> int:
        """``MASTER_PORT``, or one that follows from the job's number, so that all ranks come to the same."""
        if "MASTER_PORT" in os.environ:
            return int(os.environ["MASTER_PORT"])
        return 15000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:])

    @staticmethod
    def detect() -> bool:
        """Whether Slurm started this process, and not as an interactive shell."""
        return "SLURM_NTASKS" in os.environ and SLURMEnvironment.job_name() not in ("bash", "interactive")

    @staticmethod
    def job_name() -> str | None:
        """The job's name."""
        return os.environ.get("SLURM_JOB_NAME")

    @staticmethod
    def job_id() -> int | None:
        """The job's number; None outside a job and in an interactive shell."""
        number = os.environ.get("SLURM_JOB_ID", "")
        interactive = SLURMEnvironment.job_name() in ("bash", "interactive")
        return int(number) if number.isdigit() and not interactive else None

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        """Raise InvalidValueError if Slurm started another number of tasks a node, or on other nodes."""
        asked = {"SLURM_NTASKS_PER_NODE": ("devices", num_devices), "SLURM_NNODES": ("num_nodes", num_nodes)}
        for variable, (name, value) in asked.items():
            given = os.environ.get(variable)
            if given is not None and given.isdigit() and int(given) != value:
                option = "--ntasks-per-node" if name == "devices" else "--nodes"
                raise InvalidValueError(
                    f"You set `{name}={value}`, but Slurm was asked for `{option}={given}`",
                    value=value,
                    valid=f"`{name}={given}`",
                )

    @staticmethod
    def resolve_root_node_address(nodes: str) -> str:
        """The first host of Slurm's short form, for instance ``node3`` of ``node[3-5,8],gpu1``."""
        first = re.sub(r"\[([^\[\],-]+)[^\]]*\]", r"\1", nodes, count=1)
        return re.split(r"[,\s]", first.strip())[0]


class LSFEnvironment(_FromVariables):
    """Started by IBM's LSF with ``jsrun``."""

    RANK, SIZE, LOCAL = "JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_LOCAL_RANK"

    def __init__(self) -> None:
        super().__init__()
        self._hosts = list(dict.fromkeys(self._read_hosts()))
        self._address, self._port = self._hosts[0], 10000 + int(os.environ.get("LSB_JOBID", "0")) % 10000
        if "MASTER_PORT" in os.environ:
            self._port = int(os.environ["MASTER_PORT"])

    @property
    def main_address(self) -> str:
        """The first compute host."""
        return self._address

    @property
    def main_port(self) -> int:
        """``MASTER_PORT``, or one that follows from the job's number."""
        return self._port

    @staticmethod
    def detect() -> bool:
        """Whether jsrun started this process."""
        needed = {"LSB_JOBID", "LSB_DJOB_RANKFILE", "JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_SIZE"}
        return needed <= set(os.environ)

    def node_rank(self) -> int:
        """The place of this host in the rank file."""
        own = socket.gethostname()
        return self._hosts.index(own) if own in self._hosts else 0

    @staticmethod
    def _read_hosts() -> list[str]:
        path = os.environ.get("LSB_DJOB_RANKFILE", "")
        if not path:
            raise InvalidValueError("Did not find the environment variable `LSB_DJOB_RANKFILE`")
        hosts = Path(path).read_text(encoding="utf-8").split()
        if len(hosts) < 2:
            raise InvalidValueError(
                'Expected the batch host and at least one compute host in "LSB_DJOB_RANKFILE"', value=hosts
            )
        return hosts[1:]  # the first one only launches


class MPIEnvironment(_FromVariables):
    """Started by ``mpirun``; needs mpi4py, through which the ranks tell each other where rank 0 is.

    Raises:
        MissingDependencyError: mpi4py is not there.
    """

    _SIGNS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MV2_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")

    def __init__(self) -> None:
        super().__init__()
        try:
            from mpi4py import MPI  # type: ignore[import-not-found]
        except ImportError:
            raise MissingDependencyError("mpi4py", extra="mpi", purpose="MPIEnvironment") from None
        self._world: Any = MPI.COMM_WORLD
        self._local: Any = None
        self._meeting: tuple[str, int] | None = None

    @property
    def main_address(self) -> str:
        """The host of rank 0."""
        return self._meet()[0]

    @property
    def main_port(self) -> int:
        """A free port of that host."""
        return self._meet()[1]

    def _meet(self) -> tuple[str, int]:
        if self._meeting is None:
            mine = (socket.gethostname(), find_free_network_port()) if self.global_rank() == 0 else None
            self._meeting = self._world.bcast(mine, root=0)
        assert self._meeting is not None
        return self._meeting

    @staticmethod
    def detect() -> bool:
        """Whether ``mpirun`` started this process together with others."""
        if not any(sign in os.environ for sign in MPIEnvironment._SIGNS):  # importing mpi4py starts MPI
            return False
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError):
            return False
        return int(MPI.COMM_WORLD.Get_size()) > 1

    def world_size(self) -> int:
        """The communicator's size."""
        return int(self._world.Get_size())

    def global_rank(self) -> int:
        """The communicator's rank."""
        return int(self._world.Get_rank())

    def local_rank(self) -> int:
        """The rank among those of this host."""
        return int(self._by_host().Get_rank())

    def node_rank(self) -> int:
        """The place of this host among all."""
        hosts = list(dict.fromkeys(self._world.allgather(socket.gethostname())))
        return hosts.index(socket.gethostname())

    def _by_host(self) -> Any:
        if self._local is None:
            hosts = list(dict.fromkeys(self._world.allgather(socket.gethostname())))
            self._local = self._world.Split(color=hosts.index(socket.gethostname()))
        return self._local


class KubeflowEnvironment(_FromVariables):
    """A replica of a Kubeflow ``PyTorchJob``, one rank in each pod; can't be detected, so pass it as ``plugins``."""

    RANK, SIZE, NODE = "RANK", "WORLD_SIZE", "RANK"

    @staticmethod
    def detect() -> bool:
        """Raises NotImplementedError: nothing tells it from other environments."""
        raise NotImplementedError("The Kubeflow environment can't be detected automatically: pass it as a plugin.")

    def local_rank(self) -> int:
        """0: one rank in each pod."""
        return 0


def find_environment() -> ClusterEnvironment:
    """The environment in which this process runs."""
    # torchrun first, for it may itself have been started by Slurm.
    kinds = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
    return next((kind() for kind in kinds if kind.detect()), None) or LightningEnvironment()


def find_free_network_port() -> int:
    """A TCP port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
