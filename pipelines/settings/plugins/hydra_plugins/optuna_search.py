"""Optuna as a Hydra sweeper: a search that a kill does not lose, whose best configuration becomes an experiment.

Hydra finds plugins in the namespace package `hydra_plugins`; `train.py` puts this folder on its path. The published
plugin needs an Optuna that can't keep a study beside today's SQLAlchemy, so it can't resume.
    python train.py --multirun hydra/sweeper=optuna pipeline=distill hydra.sweeper.save=tuned \
        'distill.temperature=interval(1.0,4.0)' 'distill.training.learning_rate=tag(log,interval(1e-4,1e-3))'
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from pipelines.artifacts.progress import say
from pipelines.settings.errors import UserError


@dataclass
class OptunaSearchConfig:
    """Options below `hydra.sweeper`.

    Attributes:
        trials: finished trials wanted, those of earlier runs of the study counted in.
        parallel: trials launched together; above 1 needs a launcher that runs jobs side by side.
        study: file that keeps the study; the same file goes on where it stopped.
        direction: whether the job's `objective` is to be maximised or minimised.
        seed: of the sampler.
        save: name of the experiment that the best configuration is written to; null writes none.
    """

    _target_: str = "hydra_plugins.optuna_search.OptunaSearch"
    trials: int = 20
    parallel: int = 1
    study: str = "${hydra.sweep.dir}/study.journal"
    direction: str = "maximize"
    seed: int = 17
    save: str | None = None


ConfigStore.instance().store(group="hydra/sweeper", name="optuna", node=OptunaSearchConfig, provider="qinglang")


class OptunaSearch(Sweeper):
    """Ask Optuna for values, launch the job with them, tell what it returned."""

    def __init__(self, trials: int, parallel: int, study: str, direction: str, seed: int, save: str | None) -> None:
        self.trials, self.parallel, self.file = trials, parallel, Path(study)
        self.direction, self.seed, self.save = direction, seed, save
        self.launcher: Launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `sweep` needs; called by Hydra."""
        self.settings, self.context = config, hydra_context
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run trials until enough have finished; a trial that fails is recorded and the search goes on.

        Raises:
            UserError: nothing to search over, a job returns no objective, or no trial succeeds.
        """
        parsed = OverridesParser.create(config_loader=self.context.config_loader).parse_overrides(arguments)
        fixed = [str(one.input_line) for one in parsed if not one.is_sweep_override()]
        space = {one.get_key_element(): distribution(one) for one in parsed if one.is_sweep_override()}
        if self.direction not in ("maximize", "minimize"):
            raise UserError(f"hydra.sweeper.direction={self.direction}: give maximize or minimize.")
        if not space:
            raise UserError("nothing to search over: give KEY=interval(a,b), KEY=choice(a,b) or KEY=range(a,b).")
        study = self._study()
        while (done := _finished(study)) < self.trials:
            asked = [study.ask(space) for _ in range(min(self.parallel, self.trials - done))]
            jobs = [[*fixed, *(f"{key}={value}" for key, value in trial.params.items())] for trial in asked]
            results = self.launcher.launch(jobs, initial_job_idx=asked[0].number)
            for trial, result in zip(asked, results, strict=True):
                _tell(study, trial, result)
        if not any(trial.value is not None for trial in study.trials):
            raise UserError("no trial of the sweep succeeded.")
        say(f"sweep: best {study.best_value:.4f} of {self.trials} trials with {study.best_params}")
        if self.save is not None:
            self._write(study, fixed)

    def _study(self) -> Any:
        """Open the study; what a killed run left unfinished is tried again with the same values."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        from optuna.study import StudyDirection

        self.file.parent.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.file))),
            study_name="sweep",
            direction=StudyDirection[self.direction.upper()],
            load_if_exists=True,
        )
        study.sampler = optuna.samplers.TPESampler(seed=self.seed + len(study.trials))
        for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.enqueue_trial(trial.params)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        return study

    def _write(self, study: Any, fixed: Sequence[str]) -> None:
        sources = self.settings.hydra.runtime.config_sources
        folder = next(Path(source.path) for source in sources if source.provider == "main") / "experiment"
        chosen = [line for line in fixed if not line.startswith("hydra")]
        lines = [*chosen, *(f"{key}={value}" for key, value in study.best_params.items())]
        target = folder / f"{self.save}.yaml"
        draft = target.with_suffix(".partial")
        title = f"# Best of {self.trials} trials, objective {study.best_value:.4f}.\n"
        draft.write_text("# @package _global_\n" + title + as_experiment(lines, folder.parent), encoding="utf-8")
        draft.replace(target)
        say(f"sweep: wrote {target}")


def distribution(override: Override) -> Any:
    """Return Optuna's distribution for a sweep override; UserError for one that it can't search over."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep = override.value()
    if isinstance(sweep, IntervalSweep) and sweep.start is not None and sweep.end is not None:
        log = "log" in sweep.tags
        if isinstance(sweep.start, int) and isinstance(sweep.end, int):
            return IntDistribution(sweep.start, sweep.end, log=log)
        return FloatDistribution(sweep.start, sweep.end, log=log)
    if isinstance(sweep, RangeSweep) and sweep.start is not None and sweep.stop is not None:
        return IntDistribution(int(sweep.start), int(sweep.stop) - 1, step=int(sweep.step))
    if isinstance(sweep, ChoiceSweep):
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    raise UserError(f"'{override.input_line}': use interval(a,b), choice(a,b) or range(a,b).")


def as_experiment(lines: Sequence[str], configs: Path) -> str:
    """Return `KEY=VALUE` overrides as the body of an experiment: groups as defaults, the rest as values."""
    defaults: list[Any] = []
    values: dict[str, Any] = {}
    for line in lines:
        key, _, text = line.lstrip("+").partition("=")
        if key == "experiment":
            defaults.insert(0, text)
        elif (configs / key).is_dir():
            defaults.append({f"override /{key}": text})
        else:
            _put(values, key.split("."), yaml.safe_load(text))
    content: Mapping[str, Any] = {"defaults": [*defaults, "_self_"], **values} if defaults else values
    return yaml.safe_dump(content, allow_unicode=True, sort_keys=False)


def _put(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value


def _finished(study: Any) -> int:
    return sum(trial.state.is_finished() and trial.state.name != "FAIL" for trial in study.trials)


def _tell(study: Any, trial: Any, result: Any) -> None:
    import optuna

    try:
        value = result.return_value
    except Exception as error:
        say(f"sweep: trial {trial.number} failed: {error}")
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return
    if value is None:
        raise UserError("the job returned no objective: set objective=NAME to one of the verb's metrics.")
    study.tell(trial, float(value))
