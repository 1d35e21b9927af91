"""Who started this process, by the variables that each environment sets."""

from __future__ import annotations

import os

import pytest

import lit_studio as L
from lit_studio.pytorch.plugins.environments import (
    ClusterEnvironment,
    KubeflowEnvironment,
    LightningEnvironment,
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lit_studio.trainer.environments import find_environment

OFF = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_JOB_ID": "123456",
    "SLURM_JOB_NAME": "train",
    "SLURM_NODELIST": "node[13-14]",
}
TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "1",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "2345",
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "GROUP_RANK": "1",
}
KEYS = ("main_address", "main_port", "world_size", "global_rank", "local_rank", "node_rank")


@pytest.fixture
def variables(monkeypatch):
    """Only these variables, of those that environments look at."""
    for name in {*SLURM, *TORCHRUN, "NODE_RANK", "SLURM_STEP_ID"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "")  # no srun
    return lambda values: [monkeypatch.setenv(name, value) for name, value in values.items()]


def answers(environment):
    found = [getattr(environment, key) for key in KEYS]
    return [one() if callable(one) else one for one in found]


def test_torchrun(variables):
    variables(TORCHRUN)
    environment = find_environment()
    assert isinstance(environment, TorchElasticEnvironment)
    assert environment.creates_processes_externally
    assert answers(environment) == ["10.0.0.1", 2345, 4, 3, 1, 1]
    environment.set_world_size(9)
    environment.set_global_rank(9)
    assert (environment.world_size(), environment.global_rank()) == (4, 3)


def test_slurm(variables):
    variables(SLURM)
    environment = find_environment()
    assert isinstance(environment, SLURMEnvironment)
    assert environment.creates_processes_externally
    assert answers(environment) == ["node13", 18456, 4, 3, 1, 1]
    assert (environment.job_id(), environment.job_name(), environment.auto_requeue) == (123456, "train", True)


@pytest.mark.parametrize("name", ["bash", "interactive"])
def test_a_shell_under_slurm_is_no_job_of_ours(variables, name):
    variables({**SLURM, "SLURM_JOB_NAME": name})
    assert isinstance(find_environment(), LightningEnvironment)
    assert SLURMEnvironment.job_id() is None


def test_slurm_without_tasks_per_node_is_refused(variables, monkeypatch):
    variables(SLURM)
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    with pytest.raises(RuntimeError, match="`--ntasks=4` in your SLURM bash script"):
        SLURMEnvironment()


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("alpha", "alpha"),
        ("alpha,beta", "alpha"),
        ("node[3-5,8],gpu1", "node3"),
        ("node[03,07]", "node03"),
        ("rack[1-2]-n[3-4]", "rack1-n[3-4]"),
        ("a b c", "a"),
    ],
)
def test_the_first_host_of_slurms_list(nodes, first):
    assert SLURMEnvironment.resolve_root_node_address(nodes) == first


def test_our_own(variables):
    environment = find_environment()
    assert isinstance(environment, LightningEnvironment)
    assert not environment.creates_processes_externally
    assert answers(environment) == ["127.0.0.1", environment.main_port, 1, 0, 0, 0]
    variables({"LOCAL_RANK": "1", "NODE_RANK": "2", "MASTER_ADDR": "there", "MASTER_PORT": "99"})
    environment = LightningEnvironment()
    environment.set_global_rank(5)
    environment.set_world_size(6)
    assert environment.creates_processes_externally
    assert answers(environment) == ["there", 99, 6, 5, 1, 2]


def test_lsf(variables, monkeypatch, tmp_path):
    (tmp_path / "ranks").write_text("launcher\nhost1\nhost1\nhost2\nhost2\n")
    monkeypatch.setattr("socket.gethostname", lambda: "host2")
    variables({"LSB_JOBID": "12345", "LSB_DJOB_RANKFILE": str(tmp_path / "ranks")})
    for name, value in {"LOCAL_RANK": "1", "SIZE": "4", "RANK": "3"}.items():
        monkeypatch.setenv(f"JSM_NAMESPACE_{name}", value)
    environment = find_environment()
    assert isinstance(environment, LSFEnvironment)
    assert answers(environment) == ["host1", 12345, 4, 3, 1, 1]


def test_kubeflow_is_given_not_found(variables):
    variables({name: TORCHRUN[name] for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE")})
    assert answers(KubeflowEnvironment()) == ["10.0.0.1", 2345, 4, 3, 0, 3]
    with pytest.raises(NotImplementedError):
        KubeflowEnvironment.detect()


def test_mpi_is_only_looked_for_where_it_has_left_a_sign(variables, monkeypatch):
    assert not MPIEnvironment.detect()
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    assert not MPIEnvironment.detect()
    with pytest.raises(ImportError, match="mpi4py"):
        MPIEnvironment()


def test_a_trainer_takes_its_place_from_the_environment(variables):
    variables(TORCHRUN)
    trainer = L.Trainer(strategy="ddp", devices=2, num_nodes=2, **OFF)
    assert (trainer.world_size, trainer.global_rank, trainer.local_rank, trainer.node_rank) == (4, 3, 1, 1)
    assert (trainer.num_nodes, trainer.num_devices, trainer.device_ids) == (2, 2, [0, 1])
    assert not trainer.is_global_zero
    assert trainer.distributed_sampler_kwargs == {"num_replicas": 4, "rank": 3}


@pytest.mark.parametrize(("set_up", "words"), [(TORCHRUN, "torchrun started 4 ranks"), (SLURM, "--ntasks-per-node=2")])
def test_another_number_of_devices_than_ranks_is_refused(variables, set_up, words):
    variables(set_up)
    with pytest.raises(ValueError, match=words):
        L.Trainer(strategy="ddp", devices=3, num_nodes=2, **OFF)


class Own(LightningEnvironment):
    """A cluster of a user's, where this is rank 1 of 2."""

    @property
    def creates_processes_externally(self):
        return True

    def local_rank(self):
        return 1

    def node_rank(self):
        return 0


def test_a_users_own_environment_wins(variables):
    variables(TORCHRUN)
    assert issubclass(Own, ClusterEnvironment)
    for trainer in (
        L.Trainer(plugins=Own(), strategy="ddp", devices=2, **OFF),
        L.Trainer(strategy=L.strategies.DDPStrategy(cluster_environment=Own()), devices=2, **OFF),
    ):
        assert (trainer.global_rank, trainer.world_size) == (1, 2)
        assert isinstance(trainer.strategy.cluster_environment, Own)
    fabric = L.Fabric(accelerator="cpu", plugins=[Own()], strategy="ddp", devices=2)
    assert (fabric.global_rank, fabric.world_size) == (1, 2)


def test_several_nodes_need_to_know_of_each_other(variables):
    with pytest.raises(L.MisconfigurationException, match="nothing says where the other nodes are"):
        L.Trainer(num_nodes=2, **OFF)
    variables({"MASTER_ADDR": "there", "NODE_RANK": "1"})
    trainer = L.Trainer(num_nodes=2, devices=2, **OFF)
    assert (trainer.world_size, trainer.global_rank, trainer.node_rank) == (4, 2, 1)
    assert "WORLD_SIZE" not in os.environ
