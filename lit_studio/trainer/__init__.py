"""The trainer: Lightning's names and behaviour over a loop of our own, in a script, a rank or a cell.

It must not know Jupyter or any screen: it emits events and reads commands, and whoever wants to show a run reads its
record. Where things are::

    trainer.py      the Trainer: its arguments, its calls, what can be asked of it
    plan.py         the arguments resolved and frozen before work starts
    execution.py    one call from set-up to teardown, and what happens when it fails
    loop.py         the fit: epochs, batches, and the one training step everything else is arranged around
    evaluation.py   validation, test and prediction
    optimization.py optimizers and schedulers in all their forms, clipping, LightningOptimizer
    results.py      self.log: a buffer of tensors, read once a flush
    observation.py  the run directory, the observers, the flush, a person's commands
    step.py, stretch.py   one training step, and many usual ones
    hooks.py        the hooks that users override; dispatch.py finds which are, once per call
    data.py         loaders and batches
    resume.py       what a checkpoint holds
    module.py, datamodule.py, hyperparameters.py   what users subclass
    strategies/, precision/, accelerators.py       where the model lies and in which numbers
    launch/         how ranks are started

Beside this room lie what is attached to a run (``lit_studio.callbacks``, ``loggers``, ``profilers``) and the same for a
loop of one's own (``lit_studio.fabric``).
"""
