"""The main job on real images: turn handwritten 3s into 8s, unpaired, and write digits by class from noise.

Runs the commands a newcomer would type, in under three minutes on two CPU cores, and leaves two folders with samples,
metrics and a report.
"""

import argparse
import shlex
import sys
import time

from pushforward.cli import main

COMMANDS = r"""
pushforward fit digits:label=3 digits:label=8 --out demo/3-to-8 --overwrite \
    --network MLP --network.width 512 --trainer.steps {a} --trainer.batch_size 128
pushforward push demo/3-to-8 digits:label=3 -o demo/3-to-8/samples.npz
pushforward evaluate demo/3-to-8
pushforward report demo/3-to-8
pushforward fit gaussian digits --condition label --out demo/by-class --overwrite \
    --network MLP --network.width 512 --trainer.steps {b} --trainer.batch_size 128 \
    --objective FlowMatching --objective.condition_dropout 0.1
pushforward push demo/by-class gaussian --rows 100 --condition label=0,1,2,3,4,5,6,7,8,9 -o demo/by-class/samples.npz
pushforward evaluate demo/by-class
pushforward report demo/by-class
"""


def run(quick: bool) -> None:
    started = time.perf_counter()
    text = COMMANDS.format(a=10 if quick else 1500, b=10 if quick else 3000).strip()
    for command in text.replace("\\\n", "").splitlines():
        print(f"\n$ {' '.join(command.split())}", flush=True)
        status = main(shlex.split(command)[1:])
        if status:
            sys.exit(status)
    print(
        f"\nDone in {time.perf_counter() - started:.0f} s. Open these in a browser:"
        "\n  demo/3-to-8/report.html\n  demo/by-class/report.html"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few steps only, to see that everything runs")
    run(parser.parse_args().quick)
