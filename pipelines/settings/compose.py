"""Compose a Hydra configuration and return it as one typed dataclass, or fail in a second with the nearest valid name.

Hydra alone accepts `+typo=1` and OmegaConf then drops it silently; here every override is checked first.
"""

import types
import typing
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from pipelines.settings.errors import UserError, did_you_mean

Schema = TypeVar("Schema")
ROOT = "train"


def register(schema: type[Any]) -> None:
    """Make `schema` the type that `configs/train.yaml` is checked against (its defaults list names it `schema`)."""
    ConfigStore.instance().store(name="schema", node=schema)


def compose(schema: type[Schema], config_dir: Path, overrides: Sequence[str] = ()) -> Schema:
    """Return the configuration that `overrides` select, as an instance of `schema`.

    Sweep overrides (`a=1,2`) are checked by their first value, so that a multirun fails before its first job.

    Raises:
        UserError: an unknown key, group or option, a value of the wrong type, or a missing mandatory value.
    """
    register(schema)
    parsed = _parse(overrides)
    for override in parsed:
        _check_override(schema, config_dir, override)
    first = [line for override in parsed if (line := _first_of_sweep(override)) is not None]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_dir.resolve())):
            composed = hydra_compose(ROOT, overrides=first)
        return to_typed(composed, schema)
    except MissingConfigException as error:
        raise UserError(_missing_option(error, config_dir)) from None
    except (ConfigCompositionException, HydraException, OmegaConfBaseException, ValueError) as error:
        raise UserError(_explain(error)) from None


def to_typed(composed: DictConfig, schema: type[Schema]) -> Schema:
    """Turn what Hydra composed into `schema`, resolving interpolations; raise UserError for missing or wrong values."""
    try:
        typed = OmegaConf.to_object(composed)
    except MissingMandatoryValue as error:
        raise UserError(f"configuration: '{error.full_key}' has no value. Set it as {error.full_key}=VALUE.") from None
    except OmegaConfBaseException as error:
        raise UserError(_explain(error)) from None
    if not isinstance(typed, schema):
        raise UserError(f"configuration: composed a {type(typed).__name__}, expected {schema.__name__}.")
    return typed


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(list(overrides))
    except OverrideParseException as error:
        raise UserError(f"override '{error.override}': {str(error).splitlines()[0]}") from None


def _first_of_sweep(override: Override) -> str | None:
    """Return the override with its first value; None where only the sweeper knows the values (`glob`, `interval`)."""
    line = cast(str, override.input_line)
    if not override.is_sweep_override():
        return line
    if override.value_type in (ValueType.GLOB_CHOICE_SWEEP, ValueType.INTERVAL_SWEEP):
        return None
    return f"{line.split('=', 1)[0]}={next(iter(override.sweep_string_iterator()))}"


def _check_override(schema: type[Any], config_dir: Path, override: Override) -> None:
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra":
        return
    if (config_dir / key.split("@")[0]).is_dir() and not override.is_delete():
        return
    _check_key(schema, key, config_dir)


def _check_key(schema: type[Any], key: str, config_dir: Path) -> None:
    """Walk `key` down the schema; raise UserError at the first part that does not exist."""
    here: Any = schema
    walked: list[str] = []
    for part in key.split("."):
        here = _strip_optional(here)
        if typing.get_origin(here) is dict:
            here = typing.get_args(here)[1]
        elif is_dataclass(here):
            hints = typing.get_type_hints(here)
            if part not in hints:
                place = ".".join(walked) or "the configuration"
                groups = [p.name for p in config_dir.iterdir() if p.is_dir()] if not walked else []
                raise UserError(f"'{key}': {place} has no '{part}'.{did_you_mean(part, [*hints, *groups])}")
            here = hints[part]
        else:
            raise UserError(f"'{key}': '{'.'.join(walked)}' is a plain value and has no '{part}'.")
        walked.append(part)


def _strip_optional(hint: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _missing_option(error: MissingConfigException, config_dir: Path) -> str:
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    known = [path.stem for path in (config_dir / group).glob("*.yaml")] if group else []
    return f"configuration group '{group}' has no option '{option}'.{did_you_mean(option, known)}"


def _explain(error: BaseException) -> str:
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    full_key = getattr(cause, "full_key", None)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and full_key:
        return _explain_key(full_key, cause)
    first_line = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    return f"'{full_key}': {first_line}" if full_key else first_line


def _explain_key(full_key: str, error: ConfigKeyError | ConfigAttributeError) -> str:
    if is_dataclass(error.object_type):
        return f"'{full_key}': no such key.{did_you_mean(str(error.key), typing.get_type_hints(error.object_type))}"
    siblings = [str(key) for key in error.parent_node or ()]
    hint = did_you_mean(str(error.key), siblings)
    return f"'{full_key}': no such key yet.{hint} To add it, write +{full_key}=VALUE."


def documented_keys(schema: type[Any], value: Any, prefix: str = "") -> list[tuple[str, str, Any]]:
    """Return `(dotted key, type name, value)` for every leaf of a composed configuration, for `--help`."""
    found: list[tuple[str, str, Any]] = []
    hints = typing.get_type_hints(schema)
    for entry in fields(schema):
        key, here = f"{prefix}{entry.name}", getattr(value, entry.name)
        if is_dataclass(here) and not isinstance(here, type):
            found += documented_keys(type(here), here, f"{key}.")
        else:
            hint = hints[entry.name]
            found.append((key, getattr(hint, "__name__", str(hint)) if isinstance(hint, type) else str(hint), here))
    return found
