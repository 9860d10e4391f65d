"""The only entry: Hydra composes `configs/`, `pipeline=NAME` picks the verb (the whole chain, release, by default).

    python train.py                                        everything, on the embedded authored corpus
    python train.py experiment=public corpora.root=../shared/corpora
    python train.py pipeline=gate gate.baseline=models:/qinglang-cyber-violence@champion
    python train.py pipeline=finetune --help               what a verb does and every option with its value

The last line on stdout is compact JSON: {"verb":…,"artifact":…,"metrics":{…}}. Exit codes: 0 done (a gate passed),
1 a gate failed, 2 a gate could not decide or the input is bad, 3 a fault in the program (with its traceback).
"""

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from pipelines.settings.compose import compose, documented_keys, register, to_typed
from pipelines.settings.errors import UserError

CONFIGS = Path(__file__).resolve().parent / "configs"
PLUGINS = CONFIGS.parent / "pipelines" / "settings" / "plugins"  # where Hydra looks for the package hydra_plugins
HELP = ("--help", "-h")


def main() -> None:
    """Check the whole configuration in a second, then hand over to Hydra (which also runs sweeps with `--multirun`)."""
    overrides = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    offer_search()
    try:
        from pipelines.release import Config, Release

        config = compose(Config, CONFIGS, overrides)
        if any(flag in sys.argv for flag in HELP):
            print_help(config)
            return
        Release(config)  # checks what the types can't say, before anything starts
    except UserError as error:
        stop(error)
    register(Config)
    hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="train")(job)()


def job(composed: DictConfig) -> float | None:
    """Run one verb of one composed configuration, print its JSON line, return what a search goes by."""
    from pipelines import release

    try:
        config = to_typed(composed, release.Config)
        set_up(config.threads)
        artifact, code = release.run(config)
    except Exception as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise  # the sweep goes on with its other jobs and exits with 1
        if isinstance(error, UserError):
            stop(error)
        traceback.print_exc()
        raise SystemExit(3) from None
    line = {"verb": config.pipeline, "artifact": os.path.relpath(artifact.path), "metrics": dict(artifact.metrics)}
    print(json.dumps(line, ensure_ascii=False, separators=(",", ":")), flush=True)
    if code and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError(f"{config.pipeline}: did not pass")
    if code:
        raise SystemExit(code)
    return artifact.metrics.get(config.objective)


def offer_search() -> None:
    """Make `hydra/sweeper=optuna` known: Hydra takes plugins from a package of the name `hydra_plugins` alone."""
    if str(PLUGINS) not in sys.path:
        sys.path.append(str(PLUGINS))
    Plugins.instance().register(import_module("hydra_plugins.optuna_search").OptunaSearch)


def set_up(threads: int) -> None:
    """Bound torch's threads (0: what this process may use, not what the host has); bars on terminals only."""
    import datasets
    import torch
    from transformers.utils import logging

    from pipelines.measure.environment import usable_cores

    torch.set_num_threads(threads or usable_cores())
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
        logging.disable_progress_bar()
    logging.set_verbosity_error()  # load reports of heads that are meant to be new


def print_help(config: object) -> None:
    """Print what the chosen verb does and every option with its type and value."""
    import importlib

    from pipelines.release import check_verb

    verb = check_verb(getattr(config, "pipeline", "release"))
    module = importlib.import_module(f"pipelines.{verb}")
    console = Console(soft_wrap=True)
    console.print(f"{verb}: {module.__doc__}", markup=False, highlight=False)
    table = Table("option", "type", "value", box=None)
    shared = ("pipeline", "output", "seed", "threads", "corpora", "mixture", "encoder", "student", "inputs", "tracking")
    for key, kind, value in documented_keys(type(config), config):
        group = key.split(".")[0]
        if group == verb or (verb == "release" and group not in ("taxonomy", "corpus")) or group in shared:
            table.add_row(key, kind, str(value))
    console.print(table)
    console.print(f"Groups (GROUP=OPTION): {groups()}", markup=False, highlight=False)


def groups() -> str:
    """Return every configuration group with its options."""
    folders = sorted(path for path in CONFIGS.iterdir() if path.is_dir())
    return "; ".join(f"{folder.name}: {', '.join(sorted(p.stem for p in folder.glob('*.yaml')))}" for folder in folders)


def stop(error: UserError) -> None:
    """Say what is wrong and leave with 2."""
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
