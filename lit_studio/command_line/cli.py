"""``LightningCLI``: builds the parser, parses, makes the objects, and calls the trainer.

It must not know how an argument is described or an object made: the parser and ``instantiation`` do.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from importlib.metadata import version
from pathlib import Path
from types import MethodType
from typing import Any, Union

from torch.optim import Optimizer

from lit_studio.base.errors import MisconfigurationException
from lit_studio.callbacks import Callback
from lit_studio.command_line.instantiation import instantiate_class, recorder, with_our_names
from lit_studio.command_line.parser import (
    AUTOMATIC,
    INSTALLED,
    ArgsType,
    LightningArgumentParser,
    LRSchedulerTypeUnion,
    Namespace,
    ReduceLROnPlateau,
    require_jsonargparse,
)
from lit_studio.command_line.saving import SaveConfigCallback
from lit_studio.trainer import strategies  # noqa: F401 - the parser finds classes by short name
from lit_studio.trainer.datamodule import LightningDataModule
from lit_studio.trainer.hyperparameters import CLASS_PATH, INSTANTIATOR
from lit_studio.trainer.module import LightningModule
from lit_studio.trainer.rank_zero import rank_zero_warn
from lit_studio.trainer.seed import SEED_VARIABLE, seed_everything
from lit_studio.trainer.trainer import Trainer

if INSTALLED:
    import docstring_parser
    import yaml
    from jsonargparse import ActionConfigFile, class_from_function


class LightningCLI:
    """A command line for training: ``fit``, ``validate``, ``test`` and ``predict`` with all arguments of the classes.

    Making one parses the arguments, makes the datamodule, the model and the trainer, and makes the call. Override
    :meth:`add_arguments_to_parser` to add arguments and links; define ``before_fit``, ``fit`` or ``after_fit`` (and so
    on for each subcommand) to do something around the call or in its place.

    Args:
        model_class: a LightningModule class, or a function that returns one's instance; None lets ``--model`` choose.
        datamodule_class: likewise; with None ``--data`` may choose.
        save_config_callback: writes the configuration beside the logs; None for none.
        save_config_kwargs: arguments for it.
        trainer_class: the Trainer class, or a function that returns a trainer.
        trainer_defaults: other defaults for the trainer's arguments; its callbacks are always there.
        seed_everything_default: the default of ``--seed_everything``: a seed; True for the environment's
            ``PL_GLOBAL_SEED``, or 0; False leaves all unseeded.
        parser_kwargs: arguments for the parser, or a dict of them for each subcommand.
        parser_class: the parser's class.
        subclass_mode_model: whether ``--model`` may choose a subclass of ``model_class``.
        subclass_mode_data: likewise for ``--data``.
        args: the arguments as a list of words, or the configuration as a dict or Namespace; the process's by default.
        run: whether there are subcommands and one is run; False makes the objects only.
        auto_configure_optimizers: whether ``--optimizer`` and ``--lr_scheduler`` make ``configure_optimizers``.
        load_from_checkpoint_support: whether ``save_hyperparameters`` keeps the parsed arguments, so that
            ``load_from_checkpoint`` can make nested objects again.

    Attributes:
        parser: the parser.
        config: the configuration as parsed.
        config_init: the same with objects in place of their descriptions.
        subcommand: the subcommand that was chosen; None with ``run=False``.
        model: the model.
        datamodule: the datamodule, or None.
        trainer: the trainer.

    Raises:
        MissingDependencyError: jsonargparse is not installed.
        SystemExit: the arguments are wrong, or ``--help`` or ``--print_config`` was asked for.
    """

    def __init__(
        self,
        model_class: type[LightningModule] | Callable[..., LightningModule] | None = None,
        datamodule_class: type[LightningDataModule] | Callable[..., LightningDataModule] | None = None,
        save_config_callback: type[SaveConfigCallback] | None = SaveConfigCallback,
        save_config_kwargs: dict[str, Any] | None = None,
        trainer_class: type[Trainer] | Callable[..., Trainer] = Trainer,
        trainer_defaults: dict[str, Any] | None = None,
        seed_everything_default: bool | int = True,
        parser_kwargs: dict[str, Any] | dict[str, dict[str, Any]] | None = None,
        parser_class: type[LightningArgumentParser] = LightningArgumentParser,
        subclass_mode_model: bool = False,
        subclass_mode_data: bool = False,
        args: ArgsType = None,
        run: bool = True,
        auto_configure_optimizers: bool = True,
        load_from_checkpoint_support: bool = True,
    ) -> None:
        require_jsonargparse()
        self.save_config_callback = save_config_callback
        self.save_config_kwargs = save_config_kwargs or {}
        self.trainer_class, self.trainer_defaults = trainer_class, trainer_defaults or {}
        self.seed_everything_default = seed_everything_default
        self.parser_class, self.parser_kwargs = parser_class, parser_kwargs or {}
        self.auto_configure_optimizers = auto_configure_optimizers
        self.model_class, self.datamodule_class = model_class, datamodule_class
        self.subclass_mode_model = subclass_mode_model or model_class is None
        self.subclass_mode_data = subclass_mode_data or datamodule_class is None

        per_subcommand = {name: self.parser_kwargs[name] for name in self.subcommands() if name in self.parser_kwargs}
        main = {name: value for name, value in self.parser_kwargs.items() if name not in per_subcommand}
        self._subcommand_parsers: dict[str, LightningArgumentParser] = {}
        self._subcommand_arguments: dict[str, list[str]] = {}
        self.setup_parser(run, main, per_subcommand)
        self.parse_arguments(self.parser, args)
        self.subcommand: str | None = self.config["subcommand"] if run else None
        self._parse_ckpt_path()
        self._set_seed()
        if load_from_checkpoint_support:
            self._record_hyperparameters()
        self.before_instantiate_classes()
        self.instantiate_classes()
        self.after_instantiate_classes()
        if self.subcommand is not None:
            self._run_subcommand(self.subcommand)

    # The parser -------------------------------------------------------------------------------------------------

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A new parser with ``--config``.

        Args:
            kwargs: for the parser's class.
        """
        kwargs.setdefault("dump_header", [f"lit_studio.pytorch=={version('lit-studio')}"])
        parser = self.parser_class(**kwargs)
        parser.add_argument(
            "-c", "--config", action=ActionConfigFile, help="Path to a configuration file in json or yaml format."
        )
        return parser

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Make :attr:`parser` with all its arguments.

        Args:
            add_subcommands: whether the arguments are the subcommands' or the program's own.
            main_kwargs: for the main parser.
            subparser_kwargs: for those of subcommands, by name.
        """
        self.parser = self.init_parser(**main_kwargs)
        if add_subcommands:
            self._add_subcommands(self.parser, **subparser_kwargs)
        else:
            self._add_arguments(self.parser)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add ``--seed_everything``.

        Args:
            parser: the program's or a subcommand's.
        """
        parser.add_argument(
            "--seed_everything",
            type=Union[bool, int],  # noqa: UP007 - shown like this in the help
            default=self.seed_everything_default,
            help="The seed of everything, set before any object is made. True takes the environment's "
            f"{SEED_VARIABLE}, or 0; false leaves all unseeded.",
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the arguments of the trainer, the model and the datamodule.

        Args:
            parser: the program's or a subcommand's.
        """
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        others = {f"trainer.{name}": value for name, value in self.trainer_defaults.items() if name != "callbacks"}
        parser.set_defaults(others)
        parser.add_lightning_class_args(
            self.model_class or LightningModule, "model", subclass_mode=self.subclass_mode_model
        )
        # Without a class of its own the program may still be given one, but need not.
        needed = self.datamodule_class is not None
        parser.add_lightning_class_args(
            self.datamodule_class or LightningDataModule, "data", subclass_mode=self.subclass_mode_data, required=needed
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Override it to add arguments, links between them, and defaults.

        Args:
            parser: the program's or a subcommand's.
        """

    def _add_arguments(self, parser: LightningArgumentParser) -> None:
        self.add_default_arguments_to_parser(parser)
        self.add_core_arguments_to_parser(parser)
        self.add_arguments_to_parser(parser)
        if self.auto_configure_optimizers:
            if not parser._optimizers:
                parser.add_optimizer_args()
            if not parser._lr_schedulers:
                parser.add_lr_scheduler_args()
        self.link_optimizers_and_lr_schedulers(parser)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The subcommands, methods of the trainer, and those of their arguments that the command line fills itself."""
        loaders = {"model", "dataloaders", "datamodule"}
        return {
            "fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule"},
            "validate": set(loaders),
            "test": set(loaders),
            "predict": set(loaders),
        }

    def _add_subcommands(self, parser: LightningArgumentParser, **kwargs: Any) -> None:
        """Give each subcommand a parser; ``kwargs`` are the parsers' arguments by subcommand."""
        choices = parser.add_subcommands()
        trainer_class = self.trainer_class
        if not isinstance(trainer_class, type):
            trainer_class = class_from_function(trainer_class)
        for name in self.subcommands():
            told = _first_sentence(getattr(trainer_class, name))
            subparser = self._prepare_subcommand_parser(
                trainer_class, name, **{"description": told, **kwargs.get(name, {})}
            )
            self._subcommand_parsers[name] = subparser
            choices.add_subcommand(name, subparser, help=told)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = self.init_parser(**kwargs)
        self._add_arguments(parser)
        skipped: set[str | int] = set(self.subcommands()[subcommand])
        self._subcommand_arguments[subcommand] = parser.add_method_arguments(klass, subcommand, skip=skipped)
        return parser

    @staticmethod
    def link_optimizers_and_lr_schedulers(parser: LightningArgumentParser) -> None:
        """Hand the chosen optimizers and schedulers to the arguments they were linked to.

        Args:
            parser: the program's or a subcommand's.
        """
        for key, (chosen, link_to) in {**parser._optimizers, **parser._lr_schedulers}.items():
            if link_to == AUTOMATIC:
                continue
            if isinstance(chosen, tuple):
                parser.link_arguments(key, link_to)
            else:
                parser.link_arguments(key, link_to, compute_fn=partial(_described, chosen))

    def _parser(self, subcommand: str | None) -> LightningArgumentParser:
        return self.parser if subcommand is None else self._subcommand_parsers[subcommand]

    # The configuration ------------------------------------------------------------------------------------------

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse into :attr:`config`.

        Args:
            parser: the program's.
            args: as given to the class.
        """
        if args is not None and len(sys.argv) > 1:
            rank_zero_warn(
                "LightningCLI's args parameter is intended to run from within Python like if it were from the command "
                "line. To prevent mistakes it is not recommended to provide both args and command line arguments, got: "
                f"sys.argv[1:]={sys.argv[1:]}, args={args}."
            )
        if isinstance(args, dict | Namespace):
            self.config: Any = parser.parse_object(args)
        else:
            self.config = parser.parse_args(args)

    def _get(self, config: Any, key: str, default: Any = None) -> Any:
        """The value at ``key`` of the chosen subcommand's part of ``config``."""
        return config.get(str(self.subcommand), config).get(key, default)

    def _parse_ckpt_path(self) -> None:
        """Give the model the hyper-parameters that ``--ckpt_path`` was trained with."""
        if self.subcommand is None:
            return
        from lit_studio.trainer.checkpoint import read_checkpoint

        path = self._get(self.config, "ckpt_path")
        if not path or not Path(path).is_file():
            return
        safe = self._get(self.config, "weights_only") is not False
        kept = read_checkpoint(path, "cpu", weights_only=safe).get("hyper_parameters") or {}
        hparams = {name: value for name, value in with_our_names(kept).items() if name != INSTANTIATOR}
        if not hparams:
            return
        if CLASS_PATH in hparams:
            hparams = {"class_path": hparams.pop(CLASS_PATH), "dict_kwargs": hparams}
        try:
            self.config = self.parser.parse_object({self.subcommand: {"model": hparams}}, self.config)
        except SystemExit:
            sys.stderr.write("Parsing of ckpt_path hyperparameters failed!\n")
            raise

    def _set_seed(self) -> None:
        """Seed everything as the configuration says, and put the seed that was picked into it."""
        seed = self._get(self.config, "seed_everything")
        if seed is False:
            return
        if seed is True:
            seed = os.environ.get(SEED_VARIABLE, "0")
        part = self.config if self.subcommand is None else self.config[self.subcommand]
        part["seed_everything"] = seed_everything(seed, workers=True)

    def _plain_config(self) -> Mapping[str, Any]:
        """The configuration in plain values, links resolved; what was parsed does not change any more."""
        if not hasattr(self, "config_dump"):
            text = self.parser.dump(self.config, skip_link_targets=False, skip_unset=False, format="yaml")
            dumped = yaml.safe_load(text)
            self.config_dump: dict[str, Any] = dumped if self.subcommand is None else dumped[self.subcommand]
        return self.config_dump

    # The objects ------------------------------------------------------------------------------------------------

    def _record_hyperparameters(self) -> None:
        for key, given, base, subclasses in (
            ("model", self.model_class, LightningModule, self.subclass_mode_model),
            ("data", self.datamodule_class, LightningDataModule, self.subclass_mode_data),
        ):
            # What a function makes has another signature than the function: only a class can be made again.
            if given is None or isinstance(given, type):
                self.parser.makers.append((recorder(key, self._plain_config), given or base, subclasses))

    def before_instantiate_classes(self) -> None:
        """Override it to do something once :attr:`config` is there."""

    def instantiate_classes(self) -> None:
        """Make the datamodule, the model and the trainer."""
        self.config_init = self.parser.instantiate(self.config)
        self.datamodule: LightningDataModule | None = self._get(self.config_init, "data")
        self.model: LightningModule = self._get(self.config_init, "model")
        self._add_configure_optimizers_method_to_model(self.subcommand)
        self.trainer: Trainer = self.instantiate_trainer()

    def after_instantiate_classes(self) -> None:
        """Override it to do something once the objects are there."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """A trainer made from the configuration.

        Args:
            kwargs: arguments that win over the configuration's.
        """
        added = [self._get(self.config_init, key) for key in self._parser(self.subcommand).callback_keys]
        return self._instantiate_trainer({**self._get(self.config_init, "trainer", default={}), **kwargs}, added)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        if "callbacks" not in config:
            name = getattr(self.trainer_class, "__qualname__", self.trainer_class)
            rank_zero_warn(f"The `{name}` class does not expose the `callbacks` argument so they will not be included.")
            return self.trainer_class(**config)
        # A new list: the configuration keeps its own, for another trainer.
        always = map(_made, _listed(self.trainer_defaults.get("callbacks")))
        config["callbacks"] = [*_listed(config["callbacks"]), *callbacks, *always]
        if self.save_config_callback and not config.get("fast_dev_run", False):
            part = self.config.get(str(self.subcommand), self.config)
            saver = self.save_config_callback(self._parser(self.subcommand), part, **self.save_config_kwargs)
            config["callbacks"].append(saver)
        return self.trainer_class(**config)

    @staticmethod
    def configure_optimizers(
        lightning_module: LightningModule, optimizer: Optimizer, lr_scheduler: LRSchedulerTypeUnion | None = None
    ) -> Any:
        """What the module's ``configure_optimizers`` returns for ``--optimizer`` and ``--lr_scheduler``.

        Args:
            lightning_module: the model.
            optimizer: the chosen optimizer.
            lr_scheduler: the chosen scheduler, if there is one.
        """
        if lr_scheduler is None:
            return optimizer
        if isinstance(lr_scheduler, ReduceLROnPlateau):
            plateau = {"scheduler": lr_scheduler, "monitor": lr_scheduler.monitor}
            return {"optimizer": optimizer, "lr_scheduler": plateau}
        return [optimizer], [lr_scheduler]

    def _add_configure_optimizers_method_to_model(self, subcommand: str | None) -> None:
        """Let the model's ``configure_optimizers`` return what was chosen, if it was and isn't linked elsewhere."""
        if not self.auto_configure_optimizers:
            return
        parser = self._parser(subcommand)
        optimizers = [key for key, (_, link_to) in parser._optimizers.items() if link_to == AUTOMATIC]
        schedulers = [key for key, (_, link_to) in parser._lr_schedulers.items() if link_to == AUTOMATIC]
        if not optimizers:
            return
        if len(optimizers) > 1 or len(schedulers) > 1:
            raise MisconfigurationException(
                f"`{type(self).__name__}` expects at most one optimizer and one lr_scheduler to be 'AUTOMATIC', but "
                f"found {optimizers + schedulers}",
                advice="Link them to arguments of the model (`link_to`) and write its `configure_optimizers`.",
            )
        chosen = self._chosen(parser._optimizers, optimizers[0])
        if not chosen:
            return
        if type(self.model).configure_optimizers is not LightningModule.configure_optimizers:
            model, cli = type(self.model).__name__, type(self).__name__
            told = f"`{model}.configure_optimizers` will be overridden by `{cli}.configure_optimizers`."
            warnings.warn(told, stacklevel=2)
        optimizer = instantiate_class(self.model.parameters(), chosen)
        planned = self._chosen(parser._lr_schedulers, schedulers[0]) if schedulers else None
        scheduler = instantiate_class(optimizer, planned) if planned else None
        configure = partial(self.configure_optimizers, optimizer=optimizer, lr_scheduler=scheduler)
        update_wrapper(configure, self.configure_optimizers)
        self.model.configure_optimizers = MethodType(configure, self.model)  # type: ignore[method-assign]

    def _chosen(self, registered: dict[str, tuple[Any, str]], key: str) -> Any:
        """What was chosen at ``key`` as ``class_path`` and ``init_args``; nothing where nothing was."""
        allowed, given = registered[key][0], self._get(self.config_init, key)
        return given if isinstance(allowed, tuple) else _described(allowed, given)

    # The call ---------------------------------------------------------------------------------------------------

    def _run_subcommand(self, subcommand: str) -> None:
        """Make the call, or what a method of the subcommand's name has in its place, between the two hooks."""
        getattr(self, f"before_{subcommand}", _nothing)()
        call = getattr(self, subcommand, None) or getattr(self.trainer, subcommand)
        call(**self._prepare_subcommand_kwargs(subcommand))
        getattr(self, f"after_{subcommand}", _nothing)()

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        taken = self._subcommand_arguments[subcommand]
        arguments = {name: value for name, value in self.config_init[subcommand].items() if name in taken}
        arguments["model"] = self.model
        if self.datamodule is not None:
            arguments["datamodule"] = self.datamodule
        return arguments


def _described(cls: type, init_args: Any = None) -> dict[str, Any]:
    """``cls`` with its arguments in the form that :func:`instantiate_class` takes."""
    arguments = init_args.as_dict() if isinstance(init_args, Namespace) else init_args
    return {"class_path": f"{cls.__module__}.{cls.__name__}", "init_args": arguments or {}}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _made(callback: Any) -> Any:
    """A callback from trainer_defaults: itself, or made from its description or by a function without arguments."""
    if isinstance(callback, Mapping) and "class_path" in callback:
        return instantiate_class((), with_our_names(callback))
    return callback() if callable(callback) and not isinstance(callback, Callback) else callback


def _first_sentence(method: Any) -> str | None:
    return docstring_parser.parse(method.__doc__ or "").short_description


def _nothing() -> None:
    """Where no hook is defined."""
