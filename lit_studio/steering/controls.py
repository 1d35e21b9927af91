"""The same requests as Python calls: ``trainer.pause()`` and its like, for callbacks and for other threads.

It must not know how a request is carried out: it puts one where those of the page arrive too.
"""

from __future__ import annotations

from typing import Any

from lit_studio.base.errors import InvalidStateError
from lit_studio.base.runs import Command, Mailbox


class Controls:
    """What may be asked of a trainer while it fits, validates, tests or predicts.

    Each call returns at once; what was asked for is done at the next step boundary and told by the event
    ``CommandApplied``, like a click on the dashboard, and shown on its curves. A callback may call these, and so may
    a thread. On several ranks rank 0's calls count and reach all of them at the same step; the others' do nothing.

    Attributes:
        stopped_by_person: whether the present or last call was stopped by one of these, or by a click.
        aborted: whether that was :meth:`abort`.
    """

    mailbox: Mailbox
    state: Any
    observation: Any
    is_global_zero: Any
    understood: Any
    stopped_by_person = False
    aborted = False

    def pause(self) -> None:
        """Wait after this step; memory and variables stay. Time spent waiting is not counted as training.

        Raises:
            InvalidStateError: no call is going on.
        """
        self._ask("pause")

    def resume(self) -> None:
        """Go on after a pause; from another thread, for the one that trains waits.

        Raises:
            InvalidStateError: no call is going on.
        """
        self._ask("resume")

    def stop(self) -> None:
        """Finish this step, save a checkpoint if it is a fit, and end the call as if it were complete.

        Minimum bounds don't hold it back, and :attr:`interrupted` is true afterwards.

        Raises:
            InvalidStateError: no call is going on.
        """
        self._ask("stop")

    def abort(self) -> None:
        """End the call after this batch, be it of training or of validation; nothing is saved.

        An accumulation isn't finished and no validation runs; of the hooks only ``teardown`` does. The call returns
        normally, and :attr:`interrupted` is true afterwards.

        Raises:
            InvalidStateError: no call is going on.
        """
        self._ask("abort")

    def save_now(self) -> None:
        """Write a checkpoint after this step, beside those of the checkpoint callback.

        Raises:
            InvalidStateError: no fit is going on.
        """
        self._ask("save")

    def validate_now(self) -> None:
        """Validate after this step, once. The validations that are due anyway come when they would have.

        Callbacks see a validation like any other; one that is under way counts as the one that was asked for.

        Raises:
            InvalidStateError: no fit is going on, or it has nothing to validate.
        """
        self._ask("validate")

    def set_learning_rate(
        self, value: float | None = None, *, factor: float | None = None, group: int | None = None
    ) -> None:
        """Change the learning rate from the next step on, so that it lasts: schedules are scaled alike.

        Args:
            value: the new rate, ≥ 0; either this or ``factor``.
            factor: what the present rate is multiplied by, > 0; of each group its own.
            group: index of a parameter group, counted over all optimizers; None for all groups.

        Raises:
            InvalidStateError: no fit is going on.
            InvalidValueError: neither or both of ``value`` and ``factor``, or no such number. That there is no such
                group is told when it is tried, by a warning.
        """
        given = {"value": value, "factor": factor, "group": group}
        self._ask("set_lr", **{name: number for name, number in given.items() if number is not None})

    def undo_learning_rate(self) -> None:
        """Take the last change back, :meth:`set_learning_rate`'s or a click's; called again, the one before it.

        Raises:
            InvalidStateError: no fit is going on.
        """
        self._ask("undo_lr")

    def _ask(self, name: str, **arguments: Any) -> None:
        command = Command(name, arguments)
        if self.state.status != "running":
            raise InvalidStateError(
                f"Nothing is going on that could be asked to {name}",
                advice="Call it from a callback, or from another thread, while fit runs.",
            )
        if name not in self.understood:
            raise InvalidStateError(f"This call can't be asked to {name}", valid=", ".join(self.understood))
        if self.is_global_zero:
            self.mailbox.post(command)
            self.observation.hurry()

    def stop_for_person(self) -> None:
        """End the call at this step boundary, because a person wants it; minimum bounds don't hold it back."""
        self.should_stop = self.stopped_by_person = True

    @property
    def interrupted(self) -> bool:
        """Whether the last call was ended early by ^C, by an error, or by a person's Stop."""
        return self.state.status == "interrupted" or self.stopped_by_person
