"""Checkpoint files: whole or not at all, and never loaded when damaged."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile

import pytest
import torch

from lit_studio.base.errors import CheckpointCorruptError, CheckpointError, CheckpointNotFoundError
from lit_studio.base.files import draft_of, link_file
from lit_studio.trainer.checkpoint import read_checkpoint, write_checkpoint


def state(seed=0, size=50):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(size, 40, generator=generator)
    return {"epoch": seed, "state_dict": {"w": weights, "tied": weights, "b": torch.arange(7)}, "none": None}


def equal(one, other):
    return (
        one.keys() == other.keys()
        and one["epoch"] == other["epoch"]
        and all(torch.equal(one["state_dict"][k], other["state_dict"][k]) for k in one["state_dict"])
    )


def temporary(folder):
    return [name for name in names(folder) if name.endswith(".tmp")]


def names(folder):
    return sorted(file.name for file in folder.iterdir())


class TestWriting:
    def test_comes_back(self, tmp_path):
        path = tmp_path / "new" / "a.ckpt"
        write_checkpoint(path, state())
        assert equal(read_checkpoint(path), state())
        assert names(path.parent) == ["a.ckpt"]

    def test_the_same_state_gives_the_same_bytes(self, tmp_path):
        write_checkpoint(tmp_path / "a.ckpt", state())
        write_checkpoint(tmp_path / "b.ckpt", state())
        assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()

    def test_torch_reads_it_by_itself(self, tmp_path):
        write_checkpoint(tmp_path / "a.ckpt", state())
        assert equal(torch.load(tmp_path / "a.ckpt", weights_only=True), state())

    def test_checksums_are_on_even_if_torch_is_told_otherwise(self, tmp_path):
        before = torch.serialization.get_crc32_options()
        torch.serialization.set_crc32_options(False)
        try:
            write_checkpoint(tmp_path / "a.ckpt", state())
            assert torch.serialization.get_crc32_options() is False
        finally:
            torch.serialization.set_crc32_options(before)
        assert zipfile.ZipFile(tmp_path / "a.ckpt").testzip() is None

    def test_too_little_space_is_refused_before_anything_is_written(self, tmp_path, monkeypatch):
        path = tmp_path / "a.ckpt"
        write_checkpoint(path, state(1))
        usage = os.statvfs(tmp_path)
        huge = {"w": torch.empty(usage.f_blocks * usage.f_frsize // 4 + 10_000_000, device="meta")}
        write_checkpoint(tmp_path / "meta.ckpt", huge)  # a meta tensor takes no room
        real = torch.empty(1).expand(10**15)  # nor does what is expanded
        write_checkpoint(tmp_path / "expanded.ckpt", {"w": real})
        monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5000})())
        with pytest.raises(CheckpointError, match=r"no space.*the older file is untouched.*at least") as error:
            write_checkpoint(path, state(2))
        assert "save_top_k" in str(error.value)
        assert equal(read_checkpoint(path), state(1))
        assert not temporary(tmp_path)

    def test_a_disk_that_fills_up_while_writing(self, tmp_path):
        path = tmp_path / "a.ckpt"
        write_checkpoint(path, state(1))
        before = path.read_bytes()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # Python ignores the signal that comes with it
        try:
            with pytest.raises(CheckpointError, match=r"no space.*older file is untouched.*at least 0\.4 MB"):
                write_checkpoint(path, {"w": torch.zeros(100, 1000)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.read_bytes() == before
        assert not temporary(tmp_path)

    @pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small file system")
    def test_a_file_system_that_is_really_full(self, tmp_path):
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed here")
        try:
            path = tmp_path / "a.ckpt"
            write_checkpoint(path, state(1))
            for too_large in ({"w": torch.zeros(1000, 1000)}, {"text": "x" * 2_000_000}):  # seen beforehand, and not
                with pytest.raises(CheckpointError, match="no space"):
                    write_checkpoint(path, too_large)
                assert equal(read_checkpoint(path), state(1))
                assert not temporary(tmp_path)
            write_checkpoint(path, state(2))
            assert equal(read_checkpoint(path), state(2))
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)

    def test_what_can_not_be_pickled_is_named(self, tmp_path):
        with pytest.raises(CheckpointError, match="entry 'hyper_parameters' can't be pickled"):
            write_checkpoint(tmp_path / "a.ckpt", {**state(), "hyper_parameters": {"fn": lambda x: x}})
        assert names(tmp_path) == []

    def test_a_directory_in_the_way(self, tmp_path):
        with pytest.raises(CheckpointError, match="over a directory"):
            write_checkpoint(tmp_path, state())

    def test_a_killed_writer_leaves_the_older_file_and_its_rest_is_swept(self, tmp_path):
        path = tmp_path / "a.ckpt"
        write_checkpoint(path, state(1))
        code = (
            "import sys, torch\n"
            "from lit_studio.trainer.checkpoint import write_checkpoint\n"
            "big = {'w': torch.zeros(4_000_000)}\n"
            "print('ready', flush=True)\n"
            "while True: write_checkpoint(sys.argv[1], big)\n"
        )
        killed_inside = False
        for delay in (0.005, 0.012, 0.02, 0.03, 0.045, 0.06):
            writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "b.ckpt")], stdout=subprocess.PIPE)
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
            writer.stdout.close()
            killed_inside = killed_inside or bool(temporary(tmp_path))
            if (tmp_path / "b.ckpt").exists():
                assert read_checkpoint(tmp_path / "b.ckpt")["w"].numel() == 4_000_000
            if killed_inside:
                break
        assert killed_inside, "no kill came in the middle of writing"
        write_checkpoint(path, state(2))
        assert not temporary(tmp_path)
        assert equal(read_checkpoint(path), state(2))

    def test_a_living_writer_s_file_is_not_swept(self, tmp_path):
        other_host = tmp_path / ".lit-studio-00000000-1-1-0.tmp"
        mine = draft_of(tmp_path / "a.ckpt")
        for file in (mine, other_host):
            file.write_bytes(b"x")
        write_checkpoint(tmp_path / "a.ckpt", state())
        assert mine.exists()
        assert other_host.exists()
        os.utime(other_host, (0, 0))
        write_checkpoint(tmp_path / "a.ckpt", state())
        assert not other_host.exists()


class TestReading:
    @pytest.fixture
    def path(self, tmp_path):
        write_checkpoint(tmp_path / "good.ckpt", state(3))
        write_checkpoint(tmp_path / "bad.ckpt", state(4))
        return tmp_path / "bad.ckpt"

    @pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
    def test_cut_off(self, path, share):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
        with pytest.raises(CheckpointCorruptError, match=r"cut off or damaged(.|\n)*newest valid.*good\.ckpt"):
            read_checkpoint(path)

    def test_every_flipped_bit_is_found_or_harmless(self, path):
        whole = path.read_bytes()
        found = 0
        positions = range(0, len(whole), 97)
        for at in positions:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << at % 8)]) + whole[at + 1 :])
            try:
                assert equal(read_checkpoint(path), state(4))
            except CheckpointCorruptError:
                found += 1
        assert found > len(positions) * 0.8  # the rest lies in padding and time stamps

    def test_a_zeroed_page(self, path):
        whole = path.read_bytes()
        path.write_bytes(whole[:4096] + bytes(4096) + whole[8192:])
        with pytest.raises(CheckpointCorruptError, match="checksum of its record 'archive/data/"):
            read_checkpoint(path)

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "is empty"),
            (b"just some text\n" * 100, "is no checkpoint"),
            (b"PK\x03\x04 not really", "cut off or damaged"),
            (b"\x80\x02 a pickle that isn't", "can't be"),
            (b"\x80", "can't be"),
        ],
    )
    def test_what_is_no_checkpoint(self, path, content, says):
        path.write_bytes(content)
        with pytest.raises(CheckpointCorruptError, match=says) as error:
            read_checkpoint(path)
        assert "good.ckpt" in str(error.value)

    def test_another_zip_file(self, path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
        with pytest.raises(CheckpointCorruptError, match="a zip file, but no checkpoint"):
            read_checkpoint(path)

    def test_a_directory(self, tmp_path, path):
        with pytest.raises(CheckpointCorruptError, match=r"is a directory(.|\n)*newest valid"):
            read_checkpoint(tmp_path)

    def test_missing(self, tmp_path, path):
        with pytest.raises(FileNotFoundError, match=r"no such checkpoint(.|\n)*bad\.ckpt"):
            read_checkpoint(tmp_path / "nowhere.ckpt")
        with pytest.raises(CheckpointNotFoundError, match=r"folder .* does not exist either"):
            read_checkpoint(tmp_path / "no" / "where.ckpt")

    def test_the_advice_skips_damaged_siblings(self, tmp_path, path):
        newest = tmp_path / "newest.ckpt"
        newest.write_bytes(path.read_bytes()[:-100])
        os.utime(newest, (time.time() + 60,) * 2)
        path.write_bytes(b"")
        with pytest.raises(CheckpointCorruptError, match=r"good\.ckpt"):
            read_checkpoint(path)

    def test_unsafe_types_are_refused_with_advice_and_loaded_on_demand(self, path):
        write_checkpoint(path, {"hyper_parameters": io.StringIO, "epoch": 1})
        with pytest.raises(CheckpointError, match=r"intact.*(.|\n)*weights_only=False") as error:
            read_checkpoint(path)
        assert not isinstance(error.value, CheckpointCorruptError)
        assert read_checkpoint(path, weights_only=False)["hyper_parameters"] is io.StringIO

    def test_torch_s_own_switch_goes_on_working(self, path, monkeypatch):
        write_checkpoint(path, {"hyper_parameters": io.StringIO})
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        with pytest.warns(UserWarning, match="TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
            assert read_checkpoint(path)["hyper_parameters"] is io.StringIO

    def test_files_of_older_formats_and_streams(self, tmp_path):
        old = tmp_path / "old.ckpt"
        torch.save(state(5), old, _use_new_zipfile_serialization=False)
        assert equal(read_checkpoint(old), state(5))
        buffer = io.BytesIO()
        torch.save(state(6), buffer)
        whole = buffer.getvalue()
        assert equal(read_checkpoint(io.BytesIO(whole)), state(6))
        with pytest.raises(CheckpointCorruptError, match="The stream"):
            read_checkpoint(io.BytesIO(whole[:-50]))

    def test_map_location(self, path):
        assert read_checkpoint(path, map_location="meta")["state_dict"]["w"].is_meta


class TestLinking:
    def test_a_hard_link_outlives_its_source(self, tmp_path):
        write_checkpoint(tmp_path / "a.ckpt", state(1))
        link_file(tmp_path / "a.ckpt", tmp_path / "last.ckpt")
        link_file(tmp_path / "a.ckpt", tmp_path / "last.ckpt")
        (tmp_path / "a.ckpt").unlink()
        assert equal(read_checkpoint(tmp_path / "last.ckpt"), state(1))
        assert names(tmp_path) == ["last.ckpt"]

    def test_writing_one_name_leaves_the_other(self, tmp_path):
        write_checkpoint(tmp_path / "a.ckpt", state(1))
        link_file(tmp_path / "a.ckpt", tmp_path / "last.ckpt")
        write_checkpoint(tmp_path / "a.ckpt", state(2))
        assert equal(read_checkpoint(tmp_path / "last.ckpt"), state(1))

    def test_a_symbolic_link_survives_moving_the_folder(self, tmp_path):
        write_checkpoint(tmp_path / "one" / "a.ckpt", state(1))
        link_file(tmp_path / "one" / "a.ckpt", tmp_path / "one" / "last.ckpt", symbolic=True)
        (tmp_path / "one").rename(tmp_path / "two")
        assert (tmp_path / "two" / "last.ckpt").is_symlink()
        assert equal(read_checkpoint(tmp_path / "two" / "last.ckpt"), state(1))
        write_checkpoint(tmp_path / "two" / "last.ckpt", state(2))
        assert not (tmp_path / "two" / "last.ckpt").is_symlink()
        assert equal(read_checkpoint(tmp_path / "two" / "a.ckpt"), state(1))
