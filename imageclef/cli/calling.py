"""What every command has in common: its shared options, the call of its stage, the printing of the report.

A command is declared as a function that is named as its stage is, has the same arguments, and a docstring.
`stage_command` adds the shared options and calls the stage; an option that was not given is not passed, so
that the stage's own default holds. A body is only needed where a command takes what its stage does not know:
it returns the arguments to pass on.
"""

from __future__ import annotations

import inspect
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from imageclef.stages.report import Report

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", help="TOML file. [default: imageclef.toml]", metavar="FILE")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="Override a setting; repeatable.", metavar="SECTION.KEY=VALUE"),
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", metavar="DEVICE")
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="Feature sets of the configuration.", metavar="NAME")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Make it again; replace files of imageclef that were changed since."),
]

_CONFIGURED = {"config": ConfigOption, "overrides": SetOption, "device": DeviceOption}
_PROFILED = {**_CONFIGURED, "profile": ProfileOption}
_PRINTED = {"as_json": JsonOption, "quiet": QuietOption}

_BY_EDITION = ("validate", "evaluate", "merge", "report")
_BY_PROFILE = ("classify", "index", "knn", "similar", "serve")
"""Commands that take no device, and those that take a profile."""

Command = Callable[..., dict[str, Any] | None]


class BuildByDefault(TyperGroup):
    """A group whose command `build` may be left out: ``imageclef index`` is ``imageclef index build``."""

    def parse_args(self, context: Any, args: list[str]) -> list[str]:
        """Put `build` first where no command stands first; options that it does not know are an error."""
        named = args and (args[0] in self.commands or args[0] in context.help_option_names)
        return super().parse_args(context, args if named else ["build", *args])


def new_group(**settings: Any) -> typer.Typer:
    """A group of commands, with ``-h`` and plain text."""
    return typer.Typer(
        rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}, **settings
    )


def stage_command(
    group: typer.Typer,
    name: str | None = None,
    *,
    configured: bool = True,
    profiles: bool = False,
    writes: bool = False,
    by_edition: bool = False,
) -> Callable[[Command], Command]:
    """Make a command of a function that is named as its stage is.

    Args:
        group: it is added to.
        name: of the command, where it is not that of the stage.
        configured: whether the stage works by the configuration.
        profiles: whether it may work on the feature sets of a profile.
        by_edition: whether all that the stage takes from the configuration is the edition.
        writes: whether it writes what an earlier call may have written, so that ``--force`` makes sense.
    """
    shared = (_PROFILED if profiles else _CONFIGURED) if configured else {}
    if by_edition:
        shared, configured = {"config": ConfigOption, "overrides": SetOption}, False
    forced = {"force": ForceOption} if writes else {}

    def add(declared: Command) -> Command:
        def command(**given: Any) -> None:
            options = {key: given.pop(key) for key in (*shared, *_PRINTED)}
            force = given.pop("force", False)
            changed = declared(**given)
            asked = given if changed is None else changed
            arguments = {key: value for key, value in asked.items() if value is not None}
            arguments |= {"force": True} if force else {}
            call(declared.__name__, arguments, configured=configured, **options)

        hints = get_type_hints(declared, include_extras=True)
        own = list(inspect.signature(declared).parameters.values())
        parameters = [parameter.replace(annotation=hints[parameter.name]) for parameter in own]
        parameters += [
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if key in (*_PRINTED, "force") else None,
                annotation=annotation,
            )
            for key, annotation in {**shared, **forced, **_PRINTED}.items()
        ]
        command.__doc__ = declared.__doc__
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        group.command(name or declared.__name__.replace("_", "-"))(command)
        return declared

    return add


def call(
    stage: str,
    arguments: dict[str, Any],
    *,
    configured: bool,
    as_json: bool,
    quiet: bool,
    config: Path | None = None,
    overrides: list[str] | None = None,
    device: str | None = None,
    profile: str | None = None,
) -> None:
    """Call the function of `imageclef.stages`, and print its report."""
    from imageclef import stages
    from imageclef.terminal import reporter

    function: Callable[..., Report] = getattr(stages, stage)
    used, later = "", as_json
    if not configured and "edition" in inspect.signature(function).parameters and "edition" not in arguments:
        from imageclef.config import load_config

        arguments["edition"] = load_config(config, overrides or []).edition
        # What is scored or joined by its edition is told afterwards, with the score: an error is one line.
        used, later = f"edition {arguments['edition']} is used", True
    if configured:
        from imageclef.config import load_config, with_profile

        asked = load_config(config, [*(overrides or []), *([f"device={device}"] if device else [])])
        used = "the defaults are used"
        arguments = {"config": with_profile(asked, profile), **arguments}
    missing = _missing(config, used)
    if missing and not later and not quiet:  # before the work, which may end with an error
        typer.echo(f"imageclef: {missing}", err=True)
    if "reporter" in inspect.signature(function).parameters:
        arguments = {**arguments, "reporter": reporter(silent=quiet or as_json)}
    report = function(**arguments)
    report.notes += [missing] if missing and later else []
    report.next = _as_asked(report.next, config, [*(overrides or [])], device, profile)
    if as_json:
        typer.echo(json.dumps(_flat(report)))
    elif not quiet:
        from imageclef.terminal import print_report

        print_report(report)
    if not report.ok:
        sys.exit(1)


def _missing(config: Path | None, used: str) -> str:
    """Say that there is no configuration in this folder, and what is used instead; empty if there is one."""
    if not used or config is not None:
        return ""
    from imageclef.config import DEFAULT_PATH

    return "" if DEFAULT_PATH.exists() else f"no {DEFAULT_PATH} in this folder; {used}"


def _as_asked(
    hint: str, config: Path | None, overrides: list[str], device: str | None, profile: str | None
) -> str:
    """The commands of a hint with the options that this call was given.

    They stand before the hint's own: of two values of a setting the later one counts.
    """
    from imageclef.stages.report import OR

    read = ["-c", str(config)] if config else []
    read += [word for override in overrides for word in ("--set", override)]
    commands = []
    for command in filter(None, hint.split(OR)):
        program, name, *own = shlex.split(command)
        options = list(read)
        if device and name not in _BY_EDITION:
            options += ["--device", device]
        if profile and name in _BY_PROFILE:
            options += ["--profile", profile]
        commands.append(shlex.join([program, name, *options, *own]))
    return OR.join(commands)


def _flat(report: Report) -> dict[str, Any]:
    """The report with its figures at the top, as scripts want them."""
    facts = report.as_json()
    figures: dict[str, Any] = facts.pop("figures")
    return {**figures, **facts}
