"""A run that is killed at any moment and resumed ends with the same bits; damaged checkpoints are named and passed
over.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import pushforward as pf
from pushforward.couplings import MinibatchOT
from pushforward.errors import InputError
from pushforward.networks import MLP
from pushforward.storage import read_tensors
from pushforward.training import read_history

SCRIPT = """
import sys, torch, pushforward as pf
from pushforward.couplings import MinibatchOT
from pushforward.networks import MLP
torch.set_num_threads(1)
x1 = torch.randn(300, 2, generator=torch.Generator().manual_seed(1)) * 2 + 1
pf.fit(
    "8gaussians", x1, condition=list(range(3)) * 100, network=MLP(width=32, depth=2), coupling=MinibatchOT(), seed=5,
    out=sys.argv[1], resume=sys.argv[2] == "resume",
    trainer=pf.Trainer(steps=240, batch_size=32, pool=3, warmup=10, checkpoint_every=7, log_every=5, device="cpu"),
)
"""


def run(out: Path, mode: str) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out), mode], env=environment, stderr=subprocess.PIPE)


def test_killed_and_resumed_run_ends_with_the_same_bits(tmp_path):
    whole = run(tmp_path / "whole", "fresh")
    _, err = whole.communicate(timeout=120)
    assert whole.returncode == 0, err.decode()
    expected, _ = read_tensors(tmp_path / "whole" / "weights.safetensors")
    moments = random.Random(os.getpid())
    kills = 0
    for attempt in range(40):
        process = run(tmp_path / "killed", "fresh" if attempt == 0 else "resume")
        if kills < 4:
            checkpoints = tmp_path / "killed" / "checkpoints"
            before = newest(checkpoints)
            while process.poll() is None and newest(checkpoints) == before:  # let it get somewhere, then strike
                time.sleep(0.002)
            time.sleep(moments.uniform(0, 0.1))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
        _, err = process.communicate(timeout=120)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, err.decode()
    assert kills >= 1
    found, _ = read_tensors(tmp_path / "killed" / "weights.safetensors")
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    steps = [row["step"] for row in read_history(tmp_path / "killed" / "metrics.jsonl")]
    assert steps == sorted(set(steps)) and steps[-1] == 240


def newest(folder: Path) -> str:
    return max((path.name for path in folder.glob("step-*.safetensors")), default="")


def small_fit(out: Path, **options) -> pf.FlowTransport:
    trainer = pf.Trainer(
        **{"steps": 12, "batch_size": 16, "warmup": 2, "checkpoint_every": 4, "log_every": 4, "keep": 3}
        | options.pop("trainer", {})
    )
    return pf.fit(
        "ring",
        "moons-torchdyn",
        network=MLP(width=8, depth=1),
        coupling=MinibatchOT(),
        trainer=trainer,
        out=out,
        **options,
    )


def test_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path):
    expected = small_fit(tmp_path / "a").state_dict()
    last = sorted((tmp_path / "a" / "checkpoints").iterdir())[-1]
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.warns(UserWarning, match=rf"{last.name} is damaged.*using the checkpoint before it"):
        again = small_fit(tmp_path / "a", resume=True).state_dict()
    assert all(torch.equal(again[name], value) for name, value in expected.items())


def test_all_checkpoints_damaged_is_an_error(tmp_path):
    small_fit(tmp_path / "a")
    for file in (tmp_path / "a" / "checkpoints").iterdir():
        file.write_bytes(b"x")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(InputError, match=r"every checkpoint .* damaged"):
        small_fit(tmp_path / "a", resume=True)


def test_a_run_is_never_overwritten_unasked(tmp_path):
    small_fit(tmp_path / "a")
    with pytest.raises(InputError, match="already holds a run"):
        small_fit(tmp_path / "a")
    with pytest.raises(InputError, match="its seed was 0, now 1"):
        small_fit(tmp_path / "a", resume=True, seed=1)
    small_fit(tmp_path / "a", overwrite=True, seed=1)


def test_more_steps_continue_a_finished_run(tmp_path):
    small_fit(tmp_path / "a", trainer={"decay": "constant"})
    longer = small_fit(tmp_path / "a", resume=True, trainer={"decay": "constant", "steps": 20}).state_dict()
    straight = small_fit(tmp_path / "b", trainer={"decay": "constant", "steps": 20}).state_dict()
    assert all(torch.equal(longer[name], value) for name, value in straight.items())


def test_two_processes_train_one_model_and_save_the_same_format(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, torch, pushforward as pf\n"
        "from pushforward.networks import MLP\n"
        "t = pf.fit('gaussian', 'moons-torchdyn', network=MLP(width=16, depth=1), out=sys.argv[1],\n"
        "    trainer=pf.Trainer(steps=20, batch_size=32, warmup=2, checkpoint_every=10, log_every=5, device='cpu'))\n"
        "total = sum(p.double().sum() for p in t.field.parameters())\n"
        "gathered = [torch.zeros_like(total) for _ in range(2)]\n"
        "torch.distributed.all_gather(gathered, total)\n"
        "assert gathered[0] == gathered[1], gathered\n"
        "assert torch.distributed.get_backend() == 'gloo'\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "run")], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    transport = pf.load(tmp_path / "run")
    assert transport.push(torch.randn(5, 2)).shape == (5, 2)
    assert [row["step"] for row in read_history(tmp_path / "run" / "metrics.jsonl")] == [5, 10, 15, 20]
