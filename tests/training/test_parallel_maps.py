"""Flow maps on two processes: derivatives in forward mode beside data parallelism, half precision and compilation."""

import os
import subprocess
import sys

import torch

import pushforward as pf

SCRIPT = """
import sys
import torch
from torch.nn.parallel import DistributedDataParallel
import pushforward as pf
from pushforward.contracts import Pairs
from pushforward.networks import DiT, Field, MLP, TwoTime
from pushforward.objectives import Held, MeanFlow, ModularMeanFlow, TimePairs, Uniform
from pushforward.paths import Affine
from pushforward.training import Trainer
from pushforward.training.trainer import _Step

common = dict(steps=6, batch_size=16, warmup=0, log_every=2, device="cpu")
objective = MeanFlow(times=TimePairs(Uniform(), 0.5))
# trained: both hold the same weights, in half precision too
networks = {MLP(width=8): {}, DiT(width=16, depth=1, head_width=8, patch=1): {"precision": "bfloat16"}}
for number, (network, options) in enumerate(networks.items()):
    flow = pf.fit("gaussian", "ring", network=network, objective=objective, trainer=Trainer(**common, **options),
                  out=f"{sys.argv[1]}/{number}")
    total = sum(p.double().sum() for p in flow.field.parameters())
    gathered = [torch.zeros_like(total) for _ in range(2)]
    torch.distributed.all_gather(gathered, total)
    assert gathered[0] == gathered[1] and torch.isfinite(total), (number, gathered)
assert torch.distributed.get_backend() == "gloo"

# gradients are the mean of those of the two halves, each worked out by one process alone; the network is compiled
rank = torch.distributed.get_rank()
for rule in (objective, ModularMeanFlow(times=objective.times, curriculum=Held(0.5))):
    torch.manual_seed(0)
    field = Field(TwoTime(MLP(width=8)), Affine(), (2,), {})
    for parameter in field.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    step = _Step(field, rule)

    def loss(module, part):
        g = torch.Generator().manual_seed(part)
        pairs = Pairs(torch.randn(8, 2, generator=g), torch.randn(8, 2, generator=g))
        return module(pairs, torch.Generator().manual_seed(10 + part), 0.5)[0]

    alone = [torch.autograd.grad(loss(step, part), list(field.parameters()), allow_unused=True) for part in (0, 1)]
    field.network.compile(backend="aot_eager")
    parallel = DistributedDataParallel(step)
    loss(parallel, rank).backward()
    for parameter, first, second in zip(field.parameters(), *alone):
        if first is not None:
            torch.testing.assert_close(parameter.grad, (first + second) / 2)
"""


def test_two_processes(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*command, str(script), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for number in range(2):
        flow = pf.load(tmp_path / str(number))
        assert torch.isfinite(flow.push(torch.randn(5, 2), steps=2)).all()
