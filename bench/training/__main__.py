"""The stages, one command each: `python -m bench.training STAGE --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

# Each module has `arguments(parser)` and `run(options) -> int`. Imported when asked for: some need torch.
STAGES = {
    "corpus": "collect permissively licensed source, with a manifest",
    "tokenizer": "train the byte-level BPE of the model from scratch",
    "markers": "show the unused tokens of a vocabulary that differ most",
    "pack": "cut holes, tokenise and pack them into shards of fixed length",
    "train": "train the model from scratch",
    "adapter": "train the FIM adapter over the Gemma starter model",
    "export": "write a checkpoint as GGUF: a model in F16 and quantised, or an adapter",
    "check": "compare PyTorch's logits and tokens with llama.cpp's on the same text",
    "evaluate": "run bench quality and keep its figures",
    "card": "write a model card from measured figures, and the loss curve",
    "estimate": "measure the matrix rate and plan tokens for a number of minutes",
    "parts": "split a file into parts, or join them again",
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="python -m bench.training", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, description in STAGES.items():
        stage = stages.add_parser(name, help=description, description=description)
        if name in given[:1]:
            import_module(f"bench.training.{name}").arguments(stage)
    options = parser.parse_args(given)
    try:
        return int(import_module(f"bench.training.{options.stage}").run(options))
    except (ValueError, OSError) as error:
        print(f"bench.training {options.stage}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
